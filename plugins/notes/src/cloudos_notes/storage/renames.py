"""Renames of notes: links in other texts are rewritten in portions beside other writes.

The title changes in one transaction and the texts follow in portions, each read and rewritten before the transaction
that stores it. Until its text has followed, a link by the old title goes on leading to the note, so that a stop loses
none: a link that leads to a note of another title is one that has yet to follow, and is looked for at the start.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from cloudos_sdk import Context
from cloudos_sdk.capabilities import Note
from sqlalchemy import func, select
from sqlmodel import Session

from cloudos_notes.storage import links
from cloudos_notes.storage.tables import LINK, NOTE, PRESENT
from cloudos_notes.storage.writer import NoteWriter, Prepared, Rename
from cloudos_notes.text import markdown, validation
from cloudos_notes.text.inputs import Edit
from cloudos_notes.text.normalization import folded, linkable

T = TypeVar("T")

_NOTES = 50
_CHARACTERS = 100_000
"""What is stored in one transaction: others wait for the database that long."""
_TIMES = 5
_LINKS = 10_000


class Renames:
    """Changes notes, and has the texts that name them follow their titles."""

    def __init__(self, ctx: Context, writing: NoteWriter) -> None:
        self._ctx = ctx
        self._writing = writing
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def edit(self, owner: str, note_id: str, edit: Edit, version: int | None) -> Note:
        """Change a note, and the links to it if its title changes. Raises NotFound, Conflict."""
        if edit.title is None:
            return (await self._ctx.db.write(lambda s: self._writing.change(s, owner, note_id, edit, version))).note
        # a rename that began goes through, also where nobody waits for it any more
        return await asyncio.shield(self._begin(self._rename(owner, note_id, edit, version)))

    def take_up(self) -> None:
        """Begin to follow the renames that a stop interrupted."""
        self._keep(self._ctx.tasks.start("texts that follow renames", self._take_up))

    async def close(self) -> None:
        """Leave pending renames to the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._keep(asyncio.create_task(work))

    def _keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits has it; that nobody does is no fault

    def _turn(self, note_id: str) -> asyncio.Lock:
        """Return the lock of a note: texts follow one title after the other."""
        return self._turns.setdefault(note_id, asyncio.Lock())

    async def _rename(self, owner: str, note_id: str, edit: Edit, version: int | None) -> Note:
        async with self._turn(note_id):
            prepared = await self._prepared(owner, note_id, edit)
            changed = await self._ctx.db.write(
                lambda s: self._writing.change(s, owner, note_id, edit, version, prepared)
            )
            if changed.rename is not None:
                await self._follow(changed.rename)
        return changed.note

    async def _prepared(self, owner: str, note_id: str, edit: Edit) -> Prepared | None:
        """Read the text of a note whose title changes; None if it does not."""
        columns = (NOTE.c.title, NOTE.c.title_key, NOTE.c.version, NOTE.c.content)
        statement = select(*columns).where(NOTE.c.id == note_id, NOTE.c.owner == owner, PRESENT)
        row = await self._ctx.db.read(lambda s: s.execute(statement).first())
        title = edit.title
        if row is None or title is None or row.title == title:
            return None
        text = edit.content.text if edit.content is not None else row.content
        names = "[[" in text and folded(title) != row.title_key and linkable(title)

        def read() -> Prepared:
            words = (edit.content or validation.read_now(text)).words
            renamed = validation.read_now(markdown.renamed(text, row.title_key, title)) if names else None
            return Prepared(row.title_key, row.version, words, renamed)

        return await validation.beside(len(text), read)

    async def _follow(self, rename: Rename) -> None:
        """Have the texts that name a note name it by its new title."""
        waiting, times = deque(rename.sources), Counter[int]()
        while waiting:
            many, rows = await self._ctx.db.read(partial(_portion, sources=list(waiting)[:_NOTES]))
            times.update(waiting.popleft() for _ in range(many))
            read = await validation.beside(sum(len(row.content) for row in rows), partial(_rewritten, rename, rows))
            wait = all(times[seq] < _TIMES for seq in read)
            waiting += await self._ctx.db.write(partial(self._writing.follow, rename=rename, read=read, wait=wait))
        await self._ctx.db.write(lambda s: links.resolve(s, rename.owner, [rename.key]))

    async def _take_up(self) -> None:
        after: int | None = 0
        while after is not None:
            after, found = await self._ctx.db.read(partial(_left, after=after))
            for note_id, seq, key in found:
                async with self._turn(note_id):
                    rename = await self._ctx.db.read(partial(_rename_of, seq=seq, key=key))
                    if rename is not None:
                        await self._follow(rename)


def _portion(session: Session, sources: Sequence[int]) -> tuple[int, Sequence[Any]]:
    """Return the number of notes in one portion, and the texts of the existing ones."""
    lengths = select(NOTE.c.seq, func.length(NOTE.c.content)).where(NOTE.c.seq.in_(sources))
    known: dict[int, int] = {seq: length for seq, length in session.execute(lengths)}
    many, total = 0, 0
    for seq in sources:
        total += known.get(seq, 0)
        if many and total > _CHARACTERS:
            break
        many += 1
    columns = (NOTE.c.seq, NOTE.c.version, NOTE.c.content)
    return many, session.execute(select(*columns).where(NOTE.c.seq.in_(sources[:many]))).all()


def _rewritten(rename: Rename, rows: Sequence[Any]) -> dict[int, tuple[int, validation.NoteContent | None]]:
    """Return the versions and new texts of notes; None for one that stays."""
    read: dict[int, tuple[int, validation.NoteContent | None]] = {}
    for row in rows:
        text = markdown.renamed(row.content, rename.key, rename.title)
        read[row.seq] = (row.version, validation.read_now(text) if text != row.content else None)
    return read


def _left(session: Session, after: int) -> tuple[int | None, list[tuple[str, int, str]]]:
    """Return the notes, and keys of titles they had, that some texts behind a note still name them by; and the last."""
    some = select(LINK.c.source).where(LINK.c.source > after).order_by(LINK.c.source).limit(_LINKS).subquery()
    last = session.execute(select(func.max(some.c.source))).scalar()
    if last is None:
        return None, []
    statement = (
        select(NOTE.c.id, NOTE.c.seq, LINK.c.key)
        .join(NOTE, NOTE.c.seq == LINK.c.target)
        .where(LINK.c.kind == links.TEXT, LINK.c.key != NOTE.c.title_key)
        .where(LINK.c.key != func.coalesce(NOTE.c.file_key, ""))
        .where(LINK.c.source > after, LINK.c.source <= last)
        .distinct()
    )
    return last, [tuple(row) for row in session.execute(statement)]


def _rename_of(session: Session, seq: int, key: str) -> Rename | None:
    """Return the pending rename of a note, or None."""
    columns = (NOTE.c.owner, NOTE.c.title, NOTE.c.title_key, NOTE.c.file_key)
    row = session.execute(select(*columns).where(NOTE.c.seq == seq)).first()
    if row is None or key in (row.title_key, row.file_key):
        return None
    sources = tuple(sorted(links.naming(session, seq, key))) if linkable(row.title) else ()
    return Rename(seq, row.owner, key, row.title, sources)
