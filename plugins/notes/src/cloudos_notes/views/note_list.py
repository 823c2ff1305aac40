"""Notes as the API shows them: lists, single notes with links, folders and tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from cloudos_sdk import Context, InvalidRequest, NotFound, iso
from cloudos_sdk.capabilities import Note
from sqlalchemy import func, select
from sqlmodel import Session

from cloudos_notes.storage.store import Store
from cloudos_notes.storage.tables import LINK, NOTE, PRESENT, TAG, NoteSelection, chunks, conditions

_EXCERPT = 240
_SHOWN = (
    "id",
    "title",
    "tags",
    "importance",
    "archived",
    "source",
    "namespace",
    "client",
    "folder",
    "version",
    "created_at",
    "updated_at",
    "last_referenced_at",
    "deleted_at",
)
_LIST = select(*(NOTE.c[name] for name in _SHOWN), func.substr(NOTE.c.content, 1, _EXCERPT).label("excerpt"))
_TIMES = ("created_at", "updated_at", "last_referenced_at", "deleted_at")

Shown = dict[str, Any]


class NoteList:
    """Reads notes in the shapes of the API."""

    def __init__(self, ctx: Context, store: Store) -> None:
        self._db = ctx.db
        self._store = store

    async def page(self, wanted: NoteSelection, limit: int, before: str | None, after: str | None) -> Sequence[Shown]:
        """Return notes, the newest first; with `after` alone those next to it."""
        upwards = after is not None and before is None

        def load(session: Session) -> list[Shown]:
            order = NOTE.c.seq if upwards else NOTE.c.seq.desc()
            statement = _LIST.where(*conditions(wanted)).order_by(order).limit(limit)
            if before is not None:
                statement = statement.where(NOTE.c.seq < _place(session, wanted.owner, "before", before))
            if after is not None:
                statement = statement.where(NOTE.c.seq > _place(session, wanted.owner, "after", after))
            rows = [_listed(row) for row in session.connection().execute(statement).mappings()]
            return rows[::-1] if upwards else rows

        return await self._db.read(load)

    async def search(self, query: str, wanted: NoteSelection, limit: int) -> Sequence[Shown]:
        """Return the best matching notes, best first, with snippets."""
        hits = {hit.id: hit for hit in await self._store.search_text(query, wanted, limit)}

        def load(session: Session) -> dict[str, Shown]:
            found: dict[str, Shown] = {}
            for part in chunks(list(hits)):
                rows = session.connection().execute(_LIST.where(NOTE.c.id.in_(part))).mappings()
                found |= {row["id"]: _listed(row) for row in rows}
            return found

        shown = await self._db.read(load) if hits else {}
        return [{**shown[id], "excerpt": hit.snippet} for id, hit in hits.items() if id in shown]

    async def one(self, owner: str, note_id: str) -> Shown:
        """Return a note. Raises NotFound."""
        note = await self._store.get(owner, note_id)
        if note is None:
            raise NotFound("note", note_id)
        return await self.whole(note)

    async def whole(self, note: Note) -> Shown:
        """Return a note as the API shows it, with its folder."""
        statement = select(NOTE.c.folder).where(NOTE.c.id == note.id)
        folder = await self._db.read(lambda s: s.execute(statement).scalar())
        return {**shown(note), "folder": folder or ""}

    async def links(self, owner: str, note_id: str) -> Shown:
        """Return the links of a note, those to it, and the titles it names that no note has. Raises NotFound."""

        def load(session: Session) -> Shown:
            found = session.execute(select(NOTE.c.seq).where(NOTE.c.id == note_id, NOTE.c.owner == owner, PRESENT))
            seq = found.scalar()
            if seq is None:
                raise NotFound("note", note_id)
            broken = select(LINK.c.title).where(LINK.c.source == seq, LINK.c.target.is_(None)).order_by(LINK.c.title)
            return {
                "out": _ends(session, LINK.c.source == seq, LINK.c.target),
                "back": _ends(session, LINK.c.target == seq, LINK.c.source),
                "broken": list(session.execute(broken).scalars()),
            }

        return await self._db.read(load)

    async def folders(self, owner: str) -> Sequence[Shown]:
        """Return the folders by name, and how many notes are in each itself."""
        statement = (
            select(NOTE.c.folder, func.count())
            .where(NOTE.c.owner == owner, PRESENT)
            .group_by(NOTE.c.folder)
            .order_by(NOTE.c.folder)
        )
        return await self._counts(statement)

    async def tags(self, owner: str) -> Sequence[Shown]:
        """Return the tags, the most used first."""
        once = (
            select(TAG.c.key, TAG.c.note, func.min(TAG.c.tag).label("tag"))
            .join(NOTE, NOTE.c.seq == TAG.c.note)
            .where(TAG.c.owner == owner, PRESENT)
            .group_by(TAG.c.key, TAG.c.note)
            .subquery()
        )
        many = func.count().label("many")
        statement = select(func.min(once.c.tag), many).group_by(once.c.key).order_by(many.desc(), once.c.key)
        return await self._counts(statement)

    async def _counts(self, statement: Any) -> list[Shown]:
        rows = await self._db.read(lambda s: s.execute(statement).all())
        return [{"name": name, "notes": notes} for name, notes in rows]


def shown(note: Note) -> Shown:
    """Return a note as the API shows it, but for its folder, which the capability does not know."""
    return {
        "id": note.id,
        "title": note.title,
        "content": note.content,
        "tags": list(note.tags),
        "importance": note.importance,
        "archived": note.archived,
        "source": note.source,
        "namespace": note.namespace,
        "client": note.client,
        "version": note.version,
        "created_at": iso(note.created_at),
        "updated_at": iso(note.updated_at),
        "last_referenced_at": iso(note.last_referenced_at) if note.last_referenced_at else None,
    }


def _listed(row: Any) -> Shown:
    found = dict(row)
    found["tags"] = orjson.loads(found["tags"])
    for name in _TIMES:
        found[name] = iso(found[name]) if found[name] is not None else None
    return found


def _place(session: Session, owner: str, name: str, note_id: str) -> int:
    seq = session.execute(select(NOTE.c.seq).where(NOTE.c.id == note_id, NOTE.c.owner == owner)).scalar()
    if seq is None:
        raise InvalidRequest.field(name, f"there is no note {note_id!r}")
    return int(seq)


def _ends(session: Session, here: Any, there: Any) -> list[Shown]:
    statement = (
        select(NOTE.c.id, NOTE.c.title, LINK.c.kind)
        .select_from(LINK.join(NOTE, NOTE.c.seq == there))
        .where(here, PRESENT)
        .order_by(NOTE.c.title_key, NOTE.c.seq, LINK.c.kind)
    )
    return [{"id": id, "title": title, "kind": kind} for id, title, kind in session.execute(statement)]
