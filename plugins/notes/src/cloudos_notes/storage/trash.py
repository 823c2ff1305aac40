"""Deleting: into the trash, out of it, for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cloudos_sdk import Context, NotFound
from cloudos_sdk.capabilities import Note, NoteFilter
from sqlalchemy import delete, select, update
from sqlmodel import Session

from cloudos_notes.events import NoteDeleted, NoteRestored
from cloudos_notes.storage import links
from cloudos_notes.storage.tables import NOTE, conditions, data_of, note_of
from cloudos_notes.storage.writer import load

_STEP = 200


class Trash:
    """Puts notes into the trash and takes them out, in the transaction in hand."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def put(self, session: Session, owner: str, note_id: str, namespace: str | None = None) -> None:
        """Move a note to the trash; does nothing if it is there. Raises NotFound."""
        row = _row(session, owner, note_id, namespace)
        if row.deleted_at is None:
            session.execute(update(NOTE).where(NOTE.c.seq == row.seq).values(deleted_at=self._ctx.clock.now()))
            links.resolve(session, owner, [row.title_key, row.file_key])
            self._tell(session, row, for_good=False)

    def remove(self, session: Session, owner: str, note_id: str, namespace: str | None = None) -> None:
        """Remove a note for good, from the trash or not. Raises NotFound."""
        self.remove_row(session, _row(session, owner, note_id, namespace))

    def remove_row(self, session: Session, row: Any) -> None:
        """Remove the note of a row for good."""
        links.forget_target(session, row.seq)
        session.execute(delete(NOTE).where(NOTE.c.seq == row.seq))
        links.resolve(session, row.owner, [row.title_key, row.file_key])
        self._tell(session, row, for_good=True)

    def restore(self, session: Session, owner: str, note_id: str) -> Note:
        """Restore a note from the trash. Raises NotFound if it is not there."""
        row = load(session, owner, note_id, trashed=True)
        if row.deleted_at is None:
            raise NotFound("note", note_id, message=f"There is no note {note_id!r} in the trash.")
        session.execute(update(NOTE).where(NOTE.c.seq == row.seq).values(deleted_at=None))
        links.resolve(session, owner, [row.title_key, row.file_key])
        event = NoteRestored(resource=row.id, details=f"Restored a note in {row.namespace}", **data_of(row))
        self._ctx.events.emit(session, event)
        return note_of(row)

    async def prune(self) -> int:
        """Delete notes whose time in the trash is over; return how many."""
        before = self._ctx.clock.now() - timedelta(days=self._ctx.settings.trash_days)
        names = ("seq", "id", "owner", "title_key", "file_key", "namespace", "source")
        columns = [NOTE.c[name] for name in names]
        due = select(*columns).where(NOTE.c.deleted_at < before).limit(_STEP)

        def step(session: Session) -> int:
            rows = session.execute(due).all()
            for row in rows:
                self.remove_row(session, row)
            return len(rows)

        total = 0
        while removed := await self._ctx.db.write(step):
            total += removed
        return total

    async def put_all(self, wanted: NoteFilter) -> int:
        """Put all notes of a filter into the trash; return how many."""
        ids = select(NOTE.c.id).where(*conditions(wanted)).limit(_STEP)

        def step(session: Session) -> int:
            found = list(session.execute(ids).scalars())
            for note_id in found:
                self.put(session, wanted.owner, note_id)
            return len(found)

        total = 0
        while removed := await self._ctx.db.write(step):
            total += removed
        return total

    def _tell(self, session: Session, row: Any, *, for_good: bool) -> None:
        how = "Removed a note for good" if for_good else "Put a note into the trash"
        details = f"{how} in {row.namespace}"
        event = NoteDeleted(resource=row.id, details=details, for_good=for_good, **data_of(row))
        self._ctx.events.emit(session, event)


def _row(session: Session, owner: str, note_id: str, namespace: str | None) -> Any:
    row = load(session, owner, note_id, trashed=True)
    if namespace is not None and row.namespace != namespace:
        raise NotFound("note", note_id)
    return row
