"""Rows as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel
from quart import Response

from cloudos_backups.api.schemas import BackupOut, PartOut, RecoveryKeyState, TargetOut
from cloudos_backups.models import Backup, Target
from cloudos_backups.snapshots.store import apps_of, parts_of
from cloudos_backups.targets.kinds import KINDS

HIDDEN = "***"


def reply(model: BaseModel, status: int = 200) -> Response:
    """Return a model as JSON."""
    return Response(model.model_dump_json(), status, content_type="application/json")


def rows(models: list[Any]) -> Response:
    """Return a list of models as JSON."""
    return Response(orjson.dumps([model.model_dump(mode="json") for model in models]), content_type="application/json")


def target_out(target: Target, free: int | None, now: datetime) -> TargetOut:
    """Return a target without its secrets."""
    config = {**orjson.loads(target.config), **dict.fromkeys(KINDS[target.kind].secret, HIDDEN)}
    confirmed = target.recovery_confirmed_at
    return TargetOut(
        id=target.id,
        name=target.name,
        type=target.kind,  # type: ignore[arg-type] # one of the kinds
        config=config,
        status=target.health,  # type: ignore[arg-type] # one of the three
        error=target.error,
        checked_at=target.checked_at,
        size_bytes=target.size_bytes,
        free_bytes=free,
        recovery_key=RecoveryKeyState(
            confirmed=confirmed is not None,
            confirmed_at=confirmed,
            due_at=target.recovery_due_at,
            due=confirmed is None and now >= target.recovery_due_at,
        ),
        created_at=target.created_at,
        updated_at=target.updated_at,
    )


def backup_out(backup: Backup) -> BackupOut:
    """Return a backup with its parts."""
    parts = [
        PartOut(
            kind=part.kind,
            app_id=part.id if part.kind == "app" else None,
            name=part.name,
            status=part.status,
            size_bytes=part.bytes,
            added_bytes=part.added,
            files=part.files,
            missing=part.missing,
            error=part.error,
        )
        for part in parts_of(backup)
    ]
    return BackupOut(
        id=backup.id,
        status=backup.status,  # type: ignore[arg-type] # one of the six
        target=backup.target,
        target_id=backup.target_id,
        apps=apps_of(backup),
        include_config=backup.include_config,
        schedule_id=backup.schedule_id,
        operation_id=backup.operation_id,
        parts=parts,
        size_bytes=backup.size_bytes,
        added_bytes=backup.added_bytes,
        files=backup.files,
        error=backup.error,
        node=backup.node,
        started_at=backup.started_at,
        finished_at=backup.finished_at,
    )
