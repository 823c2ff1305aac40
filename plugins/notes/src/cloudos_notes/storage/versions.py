"""Versions of notes: read, restored, and deleted after the plan's retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
from cloudos_sdk import Context, NotFound, iso
from cloudos_sdk.capabilities import Note, NoteChange
from sqlalchemy import delete, select, tuple_
from sqlmodel import Session

from cloudos_notes.storage.store import Store
from cloudos_notes.storage.tables import NOTE, PRESENT, VERSION
from cloudos_notes.storage.tags import ARCHIVED
from cloudos_notes.text import validation
from cloudos_notes.text.normalization import folded

_STEP = 2_000
_MOST = 1_000
_SHOWN = ("version", "title", "folder", "tags", "written_at", "replaced_at")

Shown = dict[str, Any]


class Versions:
    """The history of notes."""

    def __init__(self, ctx: Context, store: Store) -> None:
        self._ctx = ctx
        self._store = store

    async def all(self, owner: str, note_id: str) -> Sequence[Shown]:
        """Return the versions of a note, newest first, without contents. Raises NotFound."""

        def load(session: Session) -> list[Shown]:
            statement = select(*(VERSION.c[name] for name in _SHOWN)).where(
                VERSION.c.note == _seq(session, owner, note_id)
            )
            rows = session.execute(statement.order_by(VERSION.c.version.desc()).limit(_MOST))
            return [_shown(row) for row in rows]

        return await self._ctx.db.read(load)

    async def one(self, owner: str, note_id: str, version: int) -> Shown:
        """Return one version of a note. Raises NotFound."""

        def load(session: Session) -> Shown:
            columns = (*(VERSION.c[name] for name in _SHOWN), VERSION.c.content)
            seq = _seq(session, owner, note_id)
            statement = select(*columns).where(VERSION.c.note == seq, VERSION.c.version == version)
            found = session.execute(statement).first()
            if found is None:
                message = (
                    f"Version {version} of the note is not kept: it never was, or is the newest, or its time is over."
                )
                raise NotFound("version", str(version), message=message)
            return {**_shown(found), "content": found.content}

        return await self._ctx.db.read(load)

    async def restore(self, owner: str, note_id: str, version: int) -> Note:
        """Restore one version of a note as a new version. Raises NotFound."""
        was = await self.one(owner, note_id, version)
        content = await validation.read(was["content"], self._store.most)
        follow = {folded(tag) for tag in content.tags} | {ARCHIVED}  # from the text and the state, not given
        given = tuple(tag for tag in was["tags"] if folded(tag) not in follow)
        change = NoteChange(title=was["title"], content=was["content"], tags=given)
        return await self._store.edit(owner, note_id, change, folder=was["folder"])

    async def prune(self) -> int:
        """Delete versions older than the plan's retention; return how many."""
        hours = self._ctx.licence.limit("version_history_hours")
        if hours is None:
            return 0
        before = self._ctx.clock.now() - timedelta(hours=hours)
        total = 0
        while removed := await self._ctx.db.write(lambda s: _forget(s, before)):
            total += removed
        return total


def _forget(session: Session, before: Any) -> int:
    keys = select(VERSION.c.note, VERSION.c.version).where(VERSION.c.replaced_at < before).limit(_STEP)
    found = [tuple(key) for key in session.execute(keys)]
    if found:
        session.execute(delete(VERSION).where(tuple_(VERSION.c.note, VERSION.c.version).in_(found)))
    return len(found)


def _seq(session: Session, owner: str, note_id: str) -> int:
    seq = session.execute(select(NOTE.c.seq).where(NOTE.c.id == note_id, NOTE.c.owner == owner, PRESENT)).scalar()
    if seq is None:
        raise NotFound("note", note_id)
    return int(seq)


def _shown(row: Any) -> Shown:
    found = dict(zip(_SHOWN, row, strict=False))
    found["tags"] = orjson.loads(found["tags"])
    for name in ("written_at", "replaced_at"):
        found[name] = iso(found[name])
    return found
