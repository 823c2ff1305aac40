"""The making of a backup: an operation, part by part, taken up where a dead host left it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from cloudos_sdk import CloudOSError, Context, NotFound, Operation

from cloudos_backups.events import BackupCompleted, BackupFailed
from cloudos_backups.models import Backup
from cloudos_backups.node.identity import node_name
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.errors import ResticFailed
from cloudos_backups.restic.messages import Status
from cloudos_backups.snapshots.app_part import AppPart
from cloudos_backups.snapshots.manifest import Part
from cloudos_backups.snapshots.node_part import NodePart
from cloudos_backups.snapshots.run import Run
from cloudos_backups.snapshots.store import OPEN, BackupStore, apps_of, parts_of
from cloudos_backups.targets.recovery_key import password_of
from cloudos_backups.targets.store import TargetStore
from cloudos_backups.targets.turns import Turns

_TOLD_EVERY = 0.5


class BackupRunner:
    """Runs the operation `backup`."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, restic: Restic, turns: Turns) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._turns = turns
        self._apps = AppPart(ctx, restic)
        self._node = NodePart(ctx, restic)

    def register(self) -> None:
        """Take up what a dead host left."""
        self._ctx.operations.register("backup", self.run, audience="backups:read")

    async def run(self, operation: Operation) -> Mapping[str, Any] | None:
        """Make a backup to its end."""
        try:
            backup = await self._store.get(operation.resource)
        except NotFound:
            return None
        if backup.status not in OPEN:
            return None  # the host died between the last step and the note that it is done
        parts = parts_of(backup)
        try:
            await operation.progress(0.0, f"Waiting for {backup.target}")
            async with self._turns.turn(backup.target_id):
                await self._store.change(backup.id, status="in_progress")
                await self._make(operation, backup, parts)
        except asyncio.CancelledError:
            if operation.cancel_requested:
                await self._end(backup, parts, "cancelled", "It was cancelled.")
            raise
        except Exception as error:
            await self._end(backup, parts, "failed", str(error))
            raise
        return await self._judge(backup, parts)

    async def _make(self, operation: Operation, backup: Backup, parts: list[Part]) -> None:
        target = await self._targets.get(backup.target_id)
        config = self._targets.config(target)
        began = self._ctx.clock.monotonic()
        shown = [0.0]

        def told(part: Part, status: Status) -> None:
            now = self._ctx.clock.monotonic()
            if now - shown[0] < _TOLD_EVERY:
                return
            shown[0] = now
            at = (parts.index(part) + min(1.0, status.fraction)) / len(parts)
            detail = {
                "bytes": status.bytes,
                "total_bytes": status.total_bytes,
                "files": status.files,
                "total_files": status.total_files,
                "bytes_per_second": int(status.bytes / max(0.001, now - began)),
            }
            work = partial(operation.progress, at, f"Backing up {part.name}", app=part.id, **detail)
            self._ctx.tasks.start("progress of a backup", work, restart=False)

        async def noted(part: Part) -> None:
            await self._store.change(backup.id, parts=parts)

        run = Run(
            backup_id=backup.id,
            schedule_id=backup.schedule_id,
            target_path=config["path"] if target.kind == "local" else None,
            repository=await self._targets.repository(target),
            password=password_of(self._targets.key(target)),
            node=await node_name(self._ctx),
            told=told,
            noted=noted,
        )
        trouble: str | None = None
        for number, part in enumerate(parts):
            if part.snapshot is not None:
                continue  # it was done before the host ended
            await operation.progress(number / len(parts), f"Backing up {part.name}", app=part.id)
            part.status = "running"
            async with self._turns.turn(part.id):
                trouble = await self._try(run, part) or trouble
            await noted(part)
        await self._targets.seen(target, trouble)

    async def _try(self, run: Run, part: Part) -> str | None:
        """Make a part, again where restic failed; return what is wrong with the target, if anything."""
        settings = self._ctx.settings
        for left in range(settings.tries - 1, -1, -1):
            try:
                await (self._node if part.kind == "config" else self._apps).back_up(run, part)
            except ResticFailed as error:
                self._ctx.log.warning(
                    "a part of a backup failed", part=part.name, reason=error.message, tries_left=left
                )
                if left and error.status != 507:
                    await self._ctx.clock.sleep(settings.retry_seconds)
                    continue
                part.status, part.error = "failed", error.message
                return error.message
            except (CloudOSError, OSError) as error:
                part.status, part.error = "failed", str(error)
            return None
        return None

    async def _judge(self, backup: Backup, parts: list[Part]) -> Mapping[str, Any]:
        missing = [f"{part.name}: {part.error}" for part in parts if part.status == "failed"]
        missing += [f"{part.name}: {what}" for part in parts for what in part.missing]
        made = [part for part in parts if part.good]
        status = "completed" if not missing else "partial" if made else "failed"
        reason = "; ".join(missing)[:2000] or None
        now = self._ctx.clock.now()
        for part in parts:
            if part.kind == "app" and part.status == "completed":
                await self._store.note_good(part.id, part.name, backup.id, now)
        await self._end(backup, parts, status, reason, missing)
        if status == "failed":
            raise ResticFailed(reason or "Nothing could be backed up.", code="backup_failed")
        return {"backup_id": backup.id, "status": status, "missing": missing}

    async def _end(
        self, backup: Backup, parts: list[Part], status: str, error: str | None, missing: list[str] | None = None
    ) -> None:
        size, added = sum(part.bytes for part in parts), sum(part.added for part in parts)
        event: BackupCompleted | BackupFailed
        if status == "completed":
            event = BackupCompleted(
                resource=backup.id,
                details=f"Backed up {len(parts)} parts to {backup.target}",
                target=backup.target,
                apps=apps_of(backup),
                size_bytes=size,
                added_bytes=added,
                schedule=backup.schedule_id,
            )
        else:
            event = BackupFailed(
                resource=backup.id,
                details=f"The backup to {backup.target} is {status}: {error}"[:500],
                target=backup.target,
                status=status,
                reason=error or "",
                missing=missing or [],
                schedule=backup.schedule_id,
            )
        events = [] if status == "cancelled" else [event]
        values = {"status": status, "error": error, "finished_at": self._ctx.clock.now()}
        await self._store.change(backup.id, *events, parts=parts, **values)
