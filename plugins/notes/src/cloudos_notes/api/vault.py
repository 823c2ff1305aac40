"""Import and export of a folder of Markdown files, such as an Obsidian vault."""

from __future__ import annotations

import orjson
from cloudos_sdk import accepts, principal, requires, use
from cloudos_sdk.http import answers, begun, stream
from quart import Blueprint, Response, request
from quart_schema import document_response, validate_querystring

from cloudos_notes.schemas import ExportQuery, ImportQuery, ImportStarted
from cloudos_notes.vault.exporter import Exporter
from cloudos_notes.vault.importer import Importer
from cloudos_notes.views.filters import export_filter

vault_routes = Blueprint("notes_vault", __name__)


@vault_routes.post("/api/notes/import")
@requires("notes:write")
@accepts("application/zip", "application/x-zip-compressed", "application/octet-stream", max_body=2048 * 1024 * 1024)
@validate_querystring(ImportQuery)
@document_response(ImportStarted, 202)
@answers(429)
async def import_vault(query_args: ImportQuery) -> Response:
    """Import the Markdown files of a zip archive, which is the body; the answer names the operation that does it."""
    operation_id = await use(Importer).take(principal().user_id, request.body, query_args)
    return Response(orjson.dumps({"operation_id": operation_id}), 202, content_type="application/json")


@vault_routes.get("/api/notes/export")
@requires("notes:read")
@validate_querystring(ExportQuery)
@answers(200, "application/zip")
async def export_vault(query_args: ExportQuery) -> Response:
    """Return notes as a zip archive of Markdown files with front matter, in their folders."""
    answer = stream(
        await begun(use(Exporter).export(export_filter(principal().user_id, query_args))), "application/zip"
    )
    answer.headers["Content-Disposition"] = 'attachment; filename="notes.zip"'
    return answer
