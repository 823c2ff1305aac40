"""The endpoints of Molly's memory; 503 `memory_unavailable` without a Recall provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import orjson
from cloudos_sdk import principal, requires, use
from cloudos_sdk.http import answers, json_rows
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_notes.molly.memory import MollyMemory
from cloudos_notes.molly.schemas import (
    Cleared,
    Forgetting,
    Memory,
    Question,
    RecalledOut,
    RecentQuery,
)
from cloudos_notes.schemas import MemoryOut
from cloudos_notes.views.note_list import shown

molly_routes = Blueprint("molly", __name__)

View = Callable[..., Awaitable[Response]]


def _with_memory(view: View) -> View:
    """Raise Unavailable before reading the body if there is no memory."""

    @wraps(view)
    async def checked(*args: Any, **kwargs: Any) -> Response:
        use(MollyMemory).recall()
        return await view(*args, **kwargs)

    return checked


@molly_routes.post("/api/molly/memory/remember")
@requires("notes:write")
@_with_memory
@validate_request(Memory)
@document_response(MemoryOut, 201)
async def remember(data: Memory) -> Response:
    """Remember something; tags in the text count."""
    note = await use(MollyMemory).remember(principal().user_id, data)
    return Response(orjson.dumps(shown(note)), 201, content_type="application/json")


@molly_routes.post("/api/molly/memory/recall")
@requires("notes:read")
@_with_memory
@validate_request(Question)
@document_response(list[RecalledOut])
async def recall(data: Question) -> Response:
    """Return up to `limit` (5) memories that match a question by words or meaning."""
    return json_rows(await use(MollyMemory).find(principal().user_id, data.query, data.limit))


@molly_routes.get("/api/molly/memory/recent")
@requires("notes:read")
@_with_memory
@validate_querystring(RecentQuery)
@document_response(list[MemoryOut])
async def recent(query_args: RecentQuery) -> Response:
    """List the memories that were referenced or written last."""
    return json_rows(await use(MollyMemory).recent(principal().user_id, query_args.limit))


@molly_routes.post("/api/molly/memory/clear")
@requires("notes:write")
@_with_memory
@document_response(Cleared)
async def clear() -> Response:
    """Put every memory of Molly's into the trash."""
    deleted = await use(MollyMemory).clear(principal().user_id)
    return Response(orjson.dumps({"deleted": deleted}), content_type="application/json")


@molly_routes.delete("/api/molly/memory/mcp/<note_id>")
@requires("notes:write")
@_with_memory
@validate_querystring(Forgetting)
@answers(204)
async def forget(note_id: str, query_args: Forgetting) -> Response:
    """Put one memory into the trash, or with `hard=true` remove it for good."""
    await use(MollyMemory).forget(principal().user_id, note_id, for_good=query_args.hard)
    return Response(status=204)
