"""The capability `NoteStore`: one store for notes of users and AI clients."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from cloudos_sdk import Context, InvalidRequest
from cloudos_sdk.capabilities import Neighbour, Note, NoteChange, NoteDraft, NoteFilter, TextHit
from sqlalchemy import delete
from sqlmodel import Session

from cloudos_notes.storage import traversal
from cloudos_notes.storage.fulltext_backfill import fill_index
from cloudos_notes.storage.fulltext_postgres import PostgresFullText
from cloudos_notes.storage.fulltext_sqlite import SqliteFullText
from cloudos_notes.storage.last_referenced import ReferenceTimes
from cloudos_notes.storage.reader import NoteReader
from cloudos_notes.storage.renames import Renames
from cloudos_notes.storage.tables import ONCE
from cloudos_notes.storage.trash import Trash
from cloudos_notes.storage.writer import NoteWriter
from cloudos_notes.text import validation
from cloudos_notes.text.inputs import Edit, ready

_LONGEST_KEY = 200


class Store(NoteReader):
    """Reads and writes notes (capability `NoteStore`), with folders and trash."""

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx.db)
        self._ctx = ctx
        self._text: Any = SqliteFullText(ctx.clock) if ctx.db.dialect == "sqlite" else PostgresFullText()
        self.writing = NoteWriter(ctx, self._text)
        self.renames = Renames(ctx, self.writing)
        self.trash = Trash(ctx)
        self._touches = ReferenceTimes(ctx)

    async def fill_index(self) -> None:
        """Index the notes that came from the other kind of database."""
        await fill_index(self._ctx, self._text)

    @property
    def most(self) -> int:
        """The most bytes of a content."""
        return int(self._ctx.settings.max_note_kb) * 1024

    async def create(self, owner: str, draft: NoteDraft, *, idempotency_key: str | None = None, **beside: Any) -> Note:
        """Write a note; with a key that this owner and client used before, return the note that it made."""
        if idempotency_key is not None:
            validation.check(idempotency_key, "idempotency_key")
            if len(idempotency_key) > _LONGEST_KEY:
                raise InvalidRequest.field("idempotency_key", f"at most {_LONGEST_KEY} characters")
        new = await ready(draft, self.most, **beside)

        def write(session: Session) -> Note:
            if idempotency_key is not None:
                made = self.writing.made_before(session, owner, draft.client, idempotency_key)
                if made is not None:
                    return made
            return self.writing.insert(session, owner, new, idempotency_key)

        return await self._ctx.db.write(write)

    async def update(self, owner: str, note_id: str, change: NoteChange, *, version: int | None = None) -> Note:
        """Change a note. Raises NotFound, and Conflict `stale_version`."""
        return await self.edit(owner, note_id, change, version=version)

    async def edit(
        self, owner: str, note_id: str, change: NoteChange, *, folder: str | None = None, version: int | None = None
    ) -> Note:
        """Change a note, also the folder that it is in. Raises NotFound, Conflict."""
        edit = Edit(
            title=validation.title(change.title) if change.title is not None else None,
            content=await validation.read(change.content, self.most) if change.content is not None else None,
            given=validation.tags(change.tags) if change.tags is not None else None,
            importance=validation.importance(change.importance) if change.importance is not None else None,
            archived=change.archived,
            folder=folder,
        )
        return await self.renames.edit(owner, note_id, edit, version)

    async def delete(self, owner: str, note_id: str, *, for_good: bool = False, namespace: str | None = None) -> None:
        """Put a note, of this namespace if one is named, into the trash, or remove it for good. Raises NotFound."""
        act = self.trash.remove if for_good else self.trash.put
        await self._ctx.db.write(lambda s: act(s, owner, note_id, namespace))

    async def restore(self, owner: str, note_id: str) -> Note:
        """Take a note out of the trash. Raises NotFound."""
        return await self._ctx.db.write(lambda s: self.trash.restore(s, owner, note_id))

    async def search_text(self, query: str, wanted: NoteFilter, limit: int) -> Sequence[TextHit]:
        """Return the best full-text matches, best first. Any text is a query."""
        text = query.replace("\0", " ").encode(errors="replace").decode()
        found: Sequence[TextHit] = await self._ctx.db.read(lambda s: self._text.search(s, text, wanted, limit))
        return found

    async def link(self, owner: str, source_id: str, target_id: str) -> bool:
        """Link two notes; False if they were linked. Raises NotFound."""
        return await self._ctx.db.write(lambda s: self.writing.link(s, owner, source_id, target_id))

    async def unlink(self, owner: str, source_id: str, target_id: str) -> bool:
        """Remove a link that `link` made; False if there was none."""
        return await self._ctx.db.write(lambda s: self.writing.unlink(s, owner, source_id, target_id))

    async def neighbours(self, note_id: str, wanted: NoteFilter, depth: int, limit: int) -> Sequence[Neighbour]:
        """Return the notes within `depth` links in either direction, nearest first."""
        return await traversal.neighbours(self._ctx.db, note_id, wanted, depth, limit)

    async def touch(self, note_ids: Collection[str]) -> None:
        """Note that these were referenced now; written within a second."""
        self._touches.add(note_ids)

    async def forget_keys(self) -> None:
        """Forget the idempotency keys that are over their time."""
        before = self._ctx.clock.now() - timedelta(days=self._ctx.settings.idempotency_days)
        await self._ctx.db.write(lambda s: s.execute(delete(ONCE).where(ONCE.c.made_at < before)))

    async def close(self) -> None:
        """Flush pending writes."""
        await self.renames.close()
        await self._touches.close()
