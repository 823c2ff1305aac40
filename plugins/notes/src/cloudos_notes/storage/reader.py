"""Reads notes: by id, by title, by filter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import orjson
from cloudos_sdk import Database
from cloudos_sdk.capabilities import Note, NoteFilter, NoteStats
from sqlalchemy import ColumnElement, bindparam, func, select, union
from sqlmodel import Session

from cloudos_notes.storage.tables import COLUMNS, LINK, NOTE, PRESENT, TAG, chunks, conditions, note_of
from cloudos_notes.text.normalization import folded

_NOTES = select(*COLUMNS)
_SOURCE, _TARGET = NOTE.alias("source"), NOTE.alias("target")


class _ByIds:
    """The statements that are given ids. They are kept, since to build one costs more than to run it."""

    def __init__(self, dialect: str) -> None:
        self._one_text = dialect == "sqlite"  # there a list of parameters is written into the statement at each call
        each = func.json_each(bindparam("ids")).table_valued("value")
        ids: Any = select(each.c.value) if self._one_text else bindparam("ids", expanding=True)
        # by nothing but the id: with the owner beside it SQLite walks all notes of the owner
        self._notes = select(*COLUMNS, NOTE.c.deleted_at).where(NOTE.c.id.in_(ids))
        joined = LINK.join(_SOURCE, _SOURCE.c.seq == LINK.c.source).join(_TARGET, _TARGET.c.seq == LINK.c.target)
        self._links = union(
            *(
                select(_SOURCE.c.id, _TARGET.c.id)
                .select_from(joined)
                .where(_SOURCE.c.deleted_at.is_(None), _TARGET.c.deleted_at.is_(None), end.c.id.in_(ids))
                for end in (_SOURCE, _TARGET)
            )
        )

    def notes(self, session: Session, owner: str, note_ids: Collection[str]) -> dict[str, Note]:
        """Return the owner's existing notes, by id."""
        rows = self._all(session, self._notes, [id for id in note_ids if id.isascii() and "\0" not in id])
        return {row[0]: note_of(row) for row in rows if row.owner == owner and row.deleted_at is None}

    def links(self, session: Session, note_ids: Collection[str]) -> list[tuple[str, str]]:
        """Return the links that begin or end at one of these notes."""
        return list(dict.fromkeys((row[0], row[1]) for row in self._all(session, self._links, note_ids)))

    def _all(self, session: Session, statement: Any, ids: Collection[str]) -> Iterator[Any]:
        for part in chunks(list(dict.fromkeys(ids))):
            given = orjson.dumps(part).decode() if self._one_text else part
            yield from session.connection().execute(statement, {"ids": given}).all()


class NoteReader:
    """The reading half of the store."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_ids = _ByIds(db.dialect)

    async def get(self, owner: str, note_id: str) -> Note | None:
        """Return a note."""
        found = await self.get_many(owner, [note_id])
        return found.get(note_id)

    async def get_many(self, owner: str, note_ids: Collection[str]) -> Mapping[str, Note]:
        """Return the existing notes, by id."""
        return await self._db.read(lambda s: self._by_ids.notes(s, owner, note_ids)) if note_ids else {}

    async def by_title(self, owner: str, title: str, namespaces: tuple[str, ...] | None = None) -> Sequence[Note]:
        """Return the notes of a title, whatever its case; the newest first."""
        statement = _NOTES.where(NOTE.c.owner == owner, NOTE.c.title_key == folded(title), PRESENT)
        if namespaces is not None:
            statement = statement.where(NOTE.c.namespace.in_(namespaces))
        return await self._many(statement.order_by(NOTE.c.seq.desc()).limit(500))

    async def recent(self, wanted: NoteFilter, limit: int) -> Sequence[Note]:
        """Return the notes that were written or referenced last."""
        statement = _NOTES.where(*conditions(wanted)).order_by(NOTE.c.active_at.desc(), NOTE.c.seq.desc())
        return await self._many(statement.limit(limit))

    async def scan(self, after: str, limit: int) -> Sequence[Note]:
        """Return notes of every owner by rising id."""
        return await self._many(_NOTES.where(NOTE.c.id > after, PRESENT).order_by(NOTE.c.id).limit(limit))

    async def linked(
        self, owner: str, hits: Collection[str], note_ids: Collection[str] = ()
    ) -> tuple[Sequence[tuple[str, str]], Mapping[str, Note]]:
        """Return the links that begin or end at one of `hits`, and with their ends the notes of `note_ids`."""

        def load(session: Session) -> tuple[list[tuple[str, str]], dict[str, Note]]:
            links = self._by_ids.links(session, hits)
            ends = [end for link in links for end in link]
            return links, self._by_ids.notes(session, owner, [*note_ids, *ends])

        return await self._db.read(load)

    async def stats(self, wanted: NoteFilter) -> NoteStats:
        """Count."""

        def count(session: Session) -> NoteStats:
            holds = conditions(wanted)
            inside = select(NOTE.c.seq).where(*holds)
            links = select(LINK.c.source, LINK.c.target).distinct()
            links = links.where(LINK.c.source.in_(inside), LINK.c.target.in_(inside))
            tagged = select(TAG.c.note, TAG.c.key, func.min(TAG.c.tag).label("tag")).where(TAG.c.note.in_(inside))
            tags = tagged.group_by(TAG.c.note, TAG.c.key).subquery()
            by_tag = select(func.min(tags.c.tag), func.count()).group_by(tags.c.key)
            return NoteStats(
                notes=session.execute(select(func.count()).select_from(NOTE).where(*holds)).scalar_one(),
                links=session.execute(select(func.count()).select_from(links.subquery())).scalar_one(),
                by_namespace=_counts(session, NOTE.c.namespace, holds),
                by_tag={row[0]: row[1] for row in session.execute(by_tag)},
                by_client=_counts(session, NOTE.c.client, [*holds, NOTE.c.client.is_not(None)]),
                by_source=_counts(session, NOTE.c.source, holds),
            )

        return await self._db.read(count)

    async def _many(self, statement: Any) -> list[Note]:
        return await self._db.read(lambda s: [note_of(row) for row in s.connection().execute(statement).all()])


def _counts(session: Session, column: Any, holds: Sequence[ColumnElement[bool]]) -> dict[str, int]:
    rows = session.execute(select(column, func.count()).where(*holds).group_by(column))
    return {row[0]: row[1] for row in rows}
