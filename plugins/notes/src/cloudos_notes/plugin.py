"""Notes: Markdown with tags, links and a graph; what people write and what AI clients remember."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import NoteStore

from cloudos_notes.events import MemoryCreated, NoteCreated, NoteDeleted, NoteRestored, NoteUpdated
from cloudos_notes.models import Base
from cloudos_notes.settings import NotesSettings
from cloudos_notes.store import Store

manifest = Manifest(
    title="Notes",
    prefixes=("/api/notes", "/api/molly"),
    settings=NotesSettings,
    tables=Base,
    migrations="cloudos_notes.migrations",
    permissions=(
        Permission("notes:read", "Read one's notes", Role.VIEWER),
        Permission("notes:write", "Write, import and delete one's notes", Role.OPERATOR),
    ),
    provides=(NoteStore,),
    emits=(NoteCreated, NoteUpdated, NoteDeleted, NoteRestored, MemoryCreated),
)


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Provide the store."""
    store = Store(ctx)
    ctx.provide(Store, store)
    ctx.provide(NoteStore, store)
    try:
        yield
    finally:
        await store.close()
