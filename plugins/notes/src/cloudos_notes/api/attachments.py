"""Files that were imported beside notes: listed, given back, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import orjson
from cloudos_sdk import principal, requires, use
from cloudos_sdk.http import answers, stream
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring

from cloudos_notes.schemas import AttachmentListed, AttachmentQuery
from cloudos_notes.vault.attachments import Attachments, parts_of

attachment_routes = Blueprint("notes_attachments", __name__)


@attachment_routes.get("/api/notes/attachments")
@requires("notes:read")
@validate_querystring(AttachmentQuery)
@document_response(list[AttachmentListed])
async def list_attachments(query_args: AttachmentQuery) -> Response:
    """List the files that were imported beside notes, by path."""
    found = await use(Attachments).all(principal().user_id, query_args.limit, query_args.after)
    return Response(orjson.dumps(found), content_type="application/json")


@attachment_routes.get("/api/notes/attachments/<id>")
@requires("notes:read")
@answers(200, "application/octet-stream")
async def get_attachment(id: str) -> Response:
    """Return the bytes of an attachment, to be saved and never shown in place."""
    attachments = use(Attachments)
    found = await attachments.one(principal().user_id, id)

    async def parts() -> AsyncIterator[bytes]:
        pieces = parts_of(attachments.file(found.digest))
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    answer = stream(parts(), "application/octet-stream")
    name = quote(found.path.rpartition("/")[2])
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


@attachment_routes.delete("/api/notes/attachments/<id>")
@requires("notes:write")
@answers(204)
async def delete_attachment(id: str) -> Response:
    """Remove an attachment for good."""
    await use(Attachments).remove(principal().user_id, id)
    return Response(status=204)
