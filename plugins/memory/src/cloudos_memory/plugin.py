"""Memory: an MCP server over the notes, for any AI client, and search by words and by meaning."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from cloudos_sdk import Context, Event, Feature, Health, Job, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import NoteStore
from quart import Blueprint

from cloudos_memory.models import Base
from cloudos_memory.settings import MemorySettings

# Each concern is one async context: it acquires, provides, and releases. Opened in this order, closed in reverse.
CONCERNS: tuple[Callable[[Context], AbstractAsyncContextManager[None]], ...] = ()
ROUTES: tuple[Blueprint, ...] = ()
JOBS: tuple[Job, ...] = ()
EVENTS: tuple[type[Event], ...] = ()

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
    features=(Feature("orbit_memory_sync", "Cross-node memory sync"),),
    provides=(),
    uses=(NoteStore,),
    emits=EVENTS,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of keys, sessions, sync and search."""
    return list(ROUTES)


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
    """Tell whether there are notes to serve."""
    if ctx.find(NoteStore) is None:
        return Health(False, "No plugin provides the notes that memories are kept in; install and enable notes.")
    return Health(True)
