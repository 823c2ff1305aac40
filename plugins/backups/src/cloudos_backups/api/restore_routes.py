"""The endpoints of restores, and of the files of a backup."""

from __future__ import annotations

from urllib.parse import quote

from cloudos_sdk import requires, use
from cloudos_sdk.http import answers, begun, stream
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_backups.api.answers import reply, rows
from cloudos_backups.api.schemas import DryRun, FileOut, FileQuery, NewRestore, RestoreOut
from cloudos_backups.restore.file_browser import FileBrowser
from cloudos_backups.restore.service import Restores

restore_routes = Blueprint("backup_restores", __name__)


@restore_routes.post("/api/backups/<backup_id>/restore")
@requires("backups:write")
@validate_request(NewRestore)
@document_response(RestoreOut, 202)
@document_response(DryRun, 200)
@answers(502)
@answers(507)
async def restore(backup_id: str, data: NewRestore) -> Response:
    """Begin to restore apps from a backup, in place or beside; with `dry_run` say what would change."""
    if data.dry_run:
        return reply(DryRun(**await use(Restores).dry_run(backup_id, data.apps, data.as_)))
    backup, operation, apps = await use(Restores).begin(backup_id, data.apps, data.as_, data.paths)
    made = RestoreOut(backup_id=backup.id, operation_id=operation, status="in_progress", apps=apps, as_app=data.as_)
    return reply(made, 202)


@restore_routes.get("/api/backups/<backup_id>/files")
@requires("backups:write")
@validate_querystring(FileQuery)
@document_response(list[FileOut])
@answers(200, "application/octet-stream")
@answers(200, "application/x-tar")
@answers(502)
async def files(backup_id: str, query_args: FileQuery) -> Response:
    """List a folder of a backup, or with `download` send a file, or a folder as a tar archive."""
    if not query_args.download:
        return rows([FileOut(**found) for found in await use(FileBrowser).listing(backup_id, query_args.path)])
    name, kind, chunks = await use(FileBrowser).content(backup_id, query_args.path)
    answer = stream(await begun(chunks), kind)
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
