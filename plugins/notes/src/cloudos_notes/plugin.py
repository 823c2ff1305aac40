"""Notes: Markdown with tags, links and a graph, written by users and AI clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Feature, Job, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import NoteStore
from quart import Blueprint

from cloudos_notes.api.attachments import attachment_routes
from cloudos_notes.api.molly import molly_routes
from cloudos_notes.api.notes import routes
from cloudos_notes.api.vault import vault_routes
from cloudos_notes.events import (
    AttachmentDeleted,
    AttachmentImported,
    MemoryCreated,
    NoteCreated,
    NoteDeleted,
    NoteRestored,
    NoteUpdated,
)
from cloudos_notes.jobs import EMPTY_TRASH, FORGET_VERSIONS
from cloudos_notes.models import Base
from cloudos_notes.molly.memory import MollyMemory
from cloudos_notes.pages import PAGES
from cloudos_notes.settings import NotesSettings
from cloudos_notes.storage.store import Store
from cloudos_notes.storage.versions import Versions
from cloudos_notes.vault.attachments import Attachments
from cloudos_notes.vault.exporter import Exporter
from cloudos_notes.vault.importer import Importer
from cloudos_notes.views.graph import GraphReader
from cloudos_notes.views.note_list import NoteList

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
    features=(Feature("orbit_graph", "The notes graph"),),
    provides=(NoteStore,),
    emits=(
        NoteCreated,
        NoteUpdated,
        NoteDeleted,
        NoteRestored,
        MemoryCreated,
        AttachmentImported,
        AttachmentDeleted,
    ),
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of notes, of their import and export, and of Molly's memory."""
    return [routes, vault_routes, attachment_routes, molly_routes]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the clearing of old versions and of the trash."""
    return [FORGET_VERSIONS, EMPTY_TRASH]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Provide the store, and take up the imports and renames that were interrupted."""
    store = Store(ctx)
    attachments = Attachments(ctx)
    importer = Importer(ctx, store, attachments)
    ctx.provide(Attachments, attachments)
    ctx.provide(Store, store)
    ctx.provide(NoteStore, store)
    ctx.provide(NoteList, NoteList(ctx, store))
    ctx.provide(Versions, Versions(ctx, store))
    ctx.provide(GraphReader, GraphReader(ctx))
    ctx.provide(Importer, importer)
    ctx.provide(Exporter, Exporter(ctx, attachments))
    ctx.provide(MollyMemory, MollyMemory(ctx, store))
    importer.register()
    store.renames.take_up()
    ctx.tasks.start("index of notes that were moved", store.fill_index)
    try:
        yield
    finally:
        await store.close()
