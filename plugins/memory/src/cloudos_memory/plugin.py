"""Memory: an MCP server over the notes for AI clients, and hybrid search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from cloudos_sdk import Context, Event, Feature, Health, Job, Manifest, Mount, Permission, Policy, Role, hookimpl
from cloudos_sdk.capabilities import BearerAuthenticator, Embedder, McpSource, NoteStore, Recall, Users
from quart import Blueprint

from cloudos_memory.api.keys import routes
from cloudos_memory.api.search import search_routes
from cloudos_memory.events import (
    McpKeyCreated,
    McpKeyRevoked,
    McpKeyRotated,
    McpSessionEnded,
    SyncDisabled,
    SyncEnabled,
    SyncRequested,
    SyncReset,
)
from cloudos_memory.jobs import PRUNE
from cloudos_memory.keys.authenticator import PREFIX
from cloudos_memory.keys.lifespan import keeping_keys
from cloudos_memory.mcp_server.app import mcp_app, serving_mcp
from cloudos_memory.mcp_server.notifications import telling_changes
from cloudos_memory.mcp_server.openapi import MCP_PATHS
from cloudos_memory.mcp_server.own_parts import offering_memory
from cloudos_memory.mcp_server.sessions import keeping_sessions
from cloudos_memory.models import Base
from cloudos_memory.pages import PAGES
from cloudos_memory.search.analytics import COVERAGE
from cloudos_memory.search.indexing.worker import IndexWorker
from cloudos_memory.search.lifespan import searching
from cloudos_memory.settings import MemorySettings
from cloudos_memory.sync.service import keeping_sync

# Each concern is one async context: it acquires, provides, and releases. Opened in this order, closed in reverse.
CONCERNS: tuple[Callable[[Context], AbstractAsyncContextManager[None]], ...] = (
    keeping_keys,
    keeping_sessions,
    keeping_sync,
    serving_mcp,
    offering_memory,
    telling_changes,
    searching,
)
ROUTES: tuple[Blueprint, ...] = (routes, search_routes)
JOBS: tuple[Job, ...] = (PRUNE, COVERAGE)
EVENTS: tuple[type[Event], ...] = (
    McpKeyCreated,
    McpKeyRotated,
    McpKeyRevoked,
    McpSessionEnded,
    SyncEnabled,
    SyncDisabled,
    SyncRequested,
    SyncReset,
)

manifest = Manifest(
    title="Memory",
    prefixes=("/mcp", "/api/mcp"),
    settings=MemorySettings,
    tables=Base,
    migrations="cloudos_memory.migrations",
    permissions=(
        Permission("memory:read", "See MCP keys, sessions and how the memory is searched", Role.VIEWER),
        Permission("memory:write", "Make and revoke MCP keys, end sessions, index anew", Role.OPERATOR),
    ),
    features=(Feature("orbit_memory_sync", "Memory sync between nodes"),),
    provides=(BearerAuthenticator, Embedder, McpSource, Recall),
    uses=(NoteStore, Users),
    emits=EVENTS,
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of keys, sessions, sync and search."""
    return list(ROUTES)


@hookimpl
def cloudos_mounts() -> Sequence[Mount]:
    """Return the MCP server, which requires an MCP key."""
    return [Mount("/mcp", mcp_app, Policy(access="bearer", bearer=PREFIX), MCP_PATHS, preflight=True)]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the periodic work."""
    return list(JOBS)


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Open one concern after the other."""
    async with AsyncExitStack() as stack:
        for concern in CONCERNS:
            await stack.enter_async_context(concern(ctx))
        yield


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Check that a note store is available, and report a failing embedding backend; search by words still works."""
    if ctx.find(NoteStore) is None:
        return Health(False, "No plugin provides the notes that memories are kept in; install and enable notes.")
    indexer = ctx.find(IndexWorker)
    if indexer is not None and indexer.trouble:
        return Health(True, f"Embedding pauses, search goes on by words: {indexer.trouble}")
    return Health(True)
