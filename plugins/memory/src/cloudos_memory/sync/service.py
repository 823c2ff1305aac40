"""Cross-node sync without a Control Panel: namespaces, cursors and pending changes.

Nothing is replicated yet. The outbox has one row for each note that changed since its namespace was opted in, so it
grows with the notes and not with their changes; the number of the newest event says which change it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from cloudos_sdk import Context, Envelope, Event, NotFound, new_id
from cloudos_sdk.capabilities import ControlPanelLink
from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session as Db

from cloudos_memory.events import SyncDisabled, SyncEnabled, SyncRequested, SyncReset
from cloudos_memory.models import SyncNamespace, SyncOutbox
from cloudos_memory.schemas import SyncNamespaceOut, SyncStatusOut

_SPACE = SyncNamespace.__table__
_OUTBOX = SyncOutbox.__table__
NOT_YET = "A Control Panel is connected, but this version does not replicate through it; changes wait in the outbox."
NO_PANEL = "No Control Panel is connected; changes wait in the outbox until there is one to replicate through."


class SyncService:
    """Enables and disables sync of namespaces, and stores pending changes."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._enabled: set[tuple[str, str]] = set()

    async def load(self) -> None:
        """Read which namespaces are opted in."""
        statement = select(_SPACE.c.user_id, _SPACE.c.namespace).where(_SPACE.c.enabled)
        self._enabled = {(u, n) for u, n in await self._ctx.db.read(lambda db: db.execute(statement).all())}

    async def status(self, user_id: str) -> SyncStatusOut:
        """Return the state of a user's namespaces."""
        rows = await self._ctx.db.read(lambda db: _namespaces(db, user_id))
        panel = self._ctx.find(ControlPanelLink)
        connected = panel is not None and panel.connected()
        detail = (
            "Connected to the Control Panel; replication through it is not in this version." if connected else NO_PANEL
        )
        return SyncStatusOut(connected=connected, detail=detail, namespaces=rows)

    async def enable(self, user_id: str, namespace: str) -> SyncNamespaceOut:
        """Enable a namespace; a paused one continues from its cursor."""
        now = self._ctx.clock.now()
        told = SyncEnabled(resource=namespace, details=f"Opted {namespace} in to replication", namespace=namespace)

        def store(db: Db) -> SyncNamespaceOut:
            row = _find(db, user_id, namespace)
            if row is None:
                values = {"id": new_id("sync"), "user_id": user_id, "namespace": namespace, "cursor": 0}
                db.execute(insert(_SPACE), {**values, "enabled": True, "created_at": now, "updated_at": now})
                self._ctx.events.emit(db, told)
            elif not row.enabled:
                _change(db, row.id, now, enabled=True, error=None)
                self._ctx.events.emit(db, told)
            self._ctx.db.after_commit(db, lambda: self._enabled.add((user_id, namespace)))
            return _one(db, user_id, namespace)

        return await self._ctx.db.write(store)

    async def disable(self, user_id: str, namespace: str) -> SyncNamespaceOut:
        """Pause a namespace; its cursor and pending changes stay. Raises NotFound."""
        told = SyncDisabled(resource=namespace, details=f"Paused the replication of {namespace}", namespace=namespace)

        def store(db: Db) -> SyncNamespaceOut:
            row = _known(db, user_id, namespace)
            if row.enabled:
                _change(db, row.id, self._ctx.clock.now(), enabled=False)
                self._ctx.events.emit(db, told)
            self._ctx.db.after_commit(db, lambda: self._enabled.discard((user_id, namespace)))
            return _one(db, user_id, namespace)

        return await self._ctx.db.write(store)

    async def resync(self, user_id: str, namespace: str) -> SyncNamespaceOut:
        """Ask for one push and one pull. Raises NotFound."""
        now = self._ctx.clock.now()
        panel = self._ctx.find(ControlPanelLink)
        error = None if panel is not None and panel.connected() else NO_PANEL
        changed = {"resync_requested_at": now, "error": error}
        told = SyncRequested(resource=namespace, details=f"Asked for a sync of {namespace}", namespace=namespace)
        return await self._alter(user_id, namespace, changed, told)

    async def reset(self, user_id: str, namespace: str) -> SyncNamespaceOut:
        """Delete a namespace's cursor and pending changes. Raises NotFound."""
        changed = {"cursor": 0, "resync_requested_at": None, "error": None}
        details = f"Dropped the cursor and the outbox of {namespace}"
        return await self._alter(
            user_id, namespace, changed, SyncReset(resource=namespace, details=details, namespace=namespace), drop=True
        )

    async def follow(self, event: Envelope) -> None:
        """Put the change of a note of an opted-in namespace into the outbox, once however often it comes."""
        user_id, namespace = event.data["owner"], event.data["namespace"]
        if (user_id, namespace) not in self._enabled:
            return
        values = {
            "namespace": namespace,
            "change": "delete" if event.type == "note.deleted" else "put",
            "seq": event.seq,
            "created_at": event.time,
        }

        def store(db: Db) -> None:
            mine = (_OUTBOX.c.user_id == user_id) & (_OUTBOX.c.note_id == event.resource)
            seen = db.scalar(select(_OUTBOX.c.seq).where(mine))
            if seen is None:
                key = {"id": new_id("out"), "user_id": user_id, "note_id": event.resource}
                db.execute(insert(_OUTBOX), {**key, **values})
            elif seen < event.seq:
                db.execute(update(_OUTBOX).where(mine).values(**values))

        await self._ctx.db.write(store)

    async def _alter(
        self, user_id: str, namespace: str, changed: dict[str, Any], told: Event, *, drop: bool = False
    ) -> SyncNamespaceOut:
        def store(db: Db) -> SyncNamespaceOut:
            row = _known(db, user_id, namespace)
            if drop:
                waiting = (_OUTBOX.c.user_id == user_id) & (_OUTBOX.c.namespace == namespace)
                db.execute(delete(_OUTBOX).where(waiting))
            _change(db, row.id, self._ctx.clock.now(), **changed)
            self._ctx.events.emit(db, told)
            return _one(db, user_id, namespace)

        return await self._ctx.db.write(store)


def _find(db: Db, user_id: str, namespace: str) -> Any:
    mine = (_SPACE.c.user_id == user_id) & (_SPACE.c.namespace == namespace)
    return db.execute(select(_SPACE).where(mine)).first()


def _known(db: Db, user_id: str, namespace: str) -> Any:
    row = _find(db, user_id, namespace)
    if row is None:
        raise NotFound("namespace", namespace, message=f"The namespace {namespace!r} was never opted in to sync.")
    return row


def _change(db: Db, id: str, now: datetime, **changed: Any) -> None:
    db.execute(update(_SPACE).where(_SPACE.c.id == id).values(updated_at=now, **changed))


def _namespaces(db: Db, user_id: str) -> list[SyncNamespaceOut]:
    count = select(_OUTBOX.c.namespace, func.count()).where(_OUTBOX.c.user_id == user_id)
    waiting: dict[str, int] = {name: n for name, n in db.execute(count.group_by(_OUTBOX.c.namespace)).all()}
    rows = db.execute(select(_SPACE).where(_SPACE.c.user_id == user_id).order_by(_SPACE.c.namespace)).mappings()
    members = set(SyncNamespaceOut.model_fields) - {"outbox"}
    return [
        SyncNamespaceOut(**{name: row[name] for name in members}, outbox=waiting.get(row["namespace"], 0))
        for row in rows
    ]


def _one(db: Db, user_id: str, namespace: str) -> SyncNamespaceOut:
    return next(row for row in _namespaces(db, user_id) if row.namespace == namespace)


@asynccontextmanager
async def keeping_sync(ctx: Context) -> AsyncIterator[None]:
    """Store changes to be replicated while the plugin runs."""
    sync = SyncService(ctx)
    await sync.load()
    ctx.provide(SyncService, sync)
    notes = ("note.created", "note.updated", "note.deleted", "note.restored")
    ctx.events.subscribe(sync.follow, *notes, name="sync-outbox")
    yield
