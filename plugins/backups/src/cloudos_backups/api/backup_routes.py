"""The endpoints of backups."""

from __future__ import annotations

from cloudos_sdk import requires, use
from cloudos_sdk.http import answers
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_backups.api.answers import backup_out, reply, rows
from cloudos_backups.api.schemas import AppOut, BackupOut, BackupPage, Begun, NewBackup
from cloudos_backups.snapshots.apps import known_apps
from cloudos_backups.snapshots.service import Backups
from cloudos_backups.snapshots.store import BackupStore
from cloudos_backups.targets.store import TargetStore

backup_routes = Blueprint("backups", __name__)


@backup_routes.get("/api/backups")
@requires("backups:read")
@validate_querystring(BackupPage)
@document_response(list[BackupOut])
async def list_backups(query_args: BackupPage) -> Response:
    """List the backups, newest first."""
    page = await use(BackupStore).page(query_args, app=query_args.app, target=query_args.target)
    return rows([backup_out(backup) for backup in page])


@backup_routes.post("/api/backups")
@requires("backups:write")
@validate_request(NewBackup)
@document_response(BackupOut, 201)
async def create_backup(data: NewBackup) -> Response:
    """Begin a backup; `operation_id` tells how far it is."""
    target = await use(TargetStore).chosen(data.target)
    made = await use(Backups).create(target, data.apps, include_config=data.include_config)
    return reply(backup_out(made), 201)


@backup_routes.get("/api/backups/apps")
@requires("backups:read")
@document_response(list[AppOut])
async def list_apps() -> Response:
    """List the apps with their newest good backup and their newest proof."""
    return rows([AppOut(**found) for found in await known_apps()])


@backup_routes.get("/api/backups/<backup_id>")
@requires("backups:read")
@document_response(BackupOut)
async def get_backup(backup_id: str) -> Response:
    """Return a backup."""
    return reply(backup_out(await use(BackupStore).get(backup_id)))


@backup_routes.delete("/api/backups/<backup_id>")
@requires("backup_settings:write")
@answers(204)
@answers(502)
async def delete_backup(backup_id: str) -> Response:
    """Remove a backup."""
    await use(Backups).delete(backup_id)
    return Response(status=204)


@backup_routes.post("/api/backup/targets/<target_id>/prune")
@requires("backup_settings:write")
@document_response(Begun, 202)
async def prune_target(target_id: str) -> Response:
    """Begin to remove the data at a target that no backup needs."""
    return reply(Begun(operation_id=await use(Backups).begin_prune(target_id), status="in_progress"), 202)
