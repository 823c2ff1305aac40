"""The endpoints of embedding and analytics."""

from __future__ import annotations

from cloudos_sdk import principal, requires, use
from quart import Blueprint
from quart_schema import validate_response

from cloudos_memory.api.search_schemas import AnalyticsOut, EmbedStats, Reindexed
from cloudos_memory.search.analytics import Analytics
from cloudos_memory.search.indexing.note_events import NoteEvents

search_routes = Blueprint("memory_search", __name__)


@search_routes.get("/api/mcp/memory/embed-stats")
@requires("memory:read")
@validate_response(EmbedStats)
async def embed_stats() -> EmbedStats:
    """Return the embedding backend, the queue's length and the coverage of the caller's notes."""
    return EmbedStats(**await use(Analytics).embed_stats(principal().user_id))


@search_routes.post("/api/mcp/memory/reindex")
@requires("memory:write")
@validate_response(Reindexed)
async def reindex() -> Reindexed:
    """Queue all notes of the caller for embedding."""
    following = use(NoteEvents)
    if not following.enabled:
        return Reindexed(enqueued=0, enabled=False)
    return Reindexed(enqueued=await following.reindex(principal().user_id), enabled=True)


@search_routes.get("/api/mcp/memory/analytics")
@requires("memory:read")
@validate_response(AnalyticsOut)
async def analytics() -> AnalyticsOut:
    """Tell how many memories the caller has, of which tags and clients, and how their coverage went."""
    return AnalyticsOut.model_validate(await use(Analytics).analytics(principal().user_id))
