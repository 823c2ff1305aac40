"""The endpoints of targets."""

from __future__ import annotations

from cloudos_sdk import current, limited, requires, use
from cloudos_sdk.http import answers
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_backups.api.answers import reply, rows, target_out
from cloudos_backups.api.schemas import (
    Adopted,
    Adoption,
    Begun,
    NewTarget,
    Purge,
    RecoveryKey,
    TargetChange,
    TargetMade,
    TargetOut,
)
from cloudos_backups.models import Target
from cloudos_backups.snapshots.adoption import Adoptions
from cloudos_backups.targets.service import Targets
from cloudos_backups.targets.store import TargetStore

target_routes = Blueprint("backup_targets", __name__)


async def _shown(target: Target) -> TargetOut:
    return target_out(target, await use(Targets).free_bytes(target), current().clock.now())


@target_routes.get("/api/backup/targets")
@requires("backups:read")
@document_response(list[TargetOut])
async def list_targets() -> Response:
    """List the targets, oldest first, without their secrets."""
    return rows([await _shown(target) for target in await use(TargetStore).all()])


@target_routes.post("/api/backup/targets")
@requires("backup_settings:write")
@validate_request(NewTarget)
@document_response(TargetMade, 201)
@answers(502)
@answers(507)
async def add_target(data: NewTarget) -> Response:
    """Add a target, after a test that it can be reached and written; its recovery key is shown here alone."""
    target, key = await use(Targets).add(data.name, data.type, data.config)
    shown = (await _shown(target)).model_dump()
    return reply(TargetMade(**{**shown, "recovery_key": key}), 201)


@target_routes.get("/api/backup/targets/<target_id>")
@requires("backups:read")
@document_response(TargetOut)
async def get_target(target_id: str) -> Response:
    """Return a target without its secrets."""
    return reply(await _shown(await use(TargetStore).get(target_id)))


@target_routes.put("/api/backup/targets/<target_id>")
@requires("backup_settings:write")
@validate_request(TargetChange)
@document_response(TargetOut)
@answers(502)
async def change_target(target_id: str, data: TargetChange) -> Response:
    """Change a target's name or the way to it, after a test that its backups are there."""
    return reply(await _shown(await use(Targets).change(target_id, data.name, data.config)))


@target_routes.delete("/api/backup/targets/<target_id>")
@requires("backup_settings:write")
@validate_querystring(Purge)
@answers(204)
@answers(502)
async def remove_target(target_id: str, query_args: Purge) -> Response:
    """Remove a target; its backups stay where they are, unless `purge`."""
    await use(Targets).remove(target_id, purge=query_args.purge)
    return Response(status=204)


@target_routes.post("/api/backup/targets/<target_id>/check")
@requires("backups:write")
@document_response(Begun, 202)
async def check_target(target_id: str) -> Response:
    """Begin to check a target: all of its structure, and a share of its data."""
    return reply(Begun(operation_id=await use(Targets).begin_check(target_id), status="in_progress"), 202)


@target_routes.post("/api/backup/targets/<target_id>/recovery-key")
@requires("backup_settings:write")
@limited(10, 60, by="caller")
@validate_request(RecoveryKey)
@document_response(TargetOut)
async def confirm_recovery_key(target_id: str, data: RecoveryKey) -> Response:
    """Show that the recovery key is in good hands: type it."""
    return reply(await _shown(await use(Targets).confirm_key(target_id, data.recovery_key)))


@target_routes.post("/api/backups/adopt")
@requires("backup_settings:write")
@limited(10, 60, by="caller")
@validate_request(Adoption)
@document_response(Adopted, 202)
@answers(502)
async def adopt(data: Adoption) -> Response:
    """Take over a target with backups that another node made, or this one before; its recovery key opens it."""
    target = await use(Targets).adopt(data.name, data.type, data.config, data.recovery_key)
    operation = await use(Adoptions).begin(target)
    return reply(Adopted(target_id=target.id, operation_id=operation, status="in_progress"), 202)
