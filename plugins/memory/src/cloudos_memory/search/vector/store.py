"""Vectors and their queue in the database: the truth of which the index in memory is a copy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from cloudos_sdk import Context
from sqlalchemy import bindparam, delete, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from cloudos_memory.models import Embedding, EmbeddingQueue
from cloudos_memory.search.vector.filters import Attributes

EMBEDDING = Embedding.__table__
QUEUE = EmbeddingQueue.__table__

_DESCRIBE = update(EMBEDDING).where(EMBEDDING.c.note_id == bindparam("of_note"))

_MOST_TRIES = 3
_IN_ONE = 500


@dataclass(frozen=True, slots=True)
class QueuedNote:
    """A note in the queue."""

    note_id: str
    owner: str
    forced: bool
    round: int
    attempts: int


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """The vectors of a note, as they are in the database."""

    note_id: str
    attributes: Attributes
    model: str
    dimension: int
    text_hash: str
    pieces: int
    vectors: bytes


class EmbeddingStore:
    """Reads and writes vectors and the queue."""

    def __init__(self, ctx: Context) -> None:
        self._db = ctx.db
        self._clock = ctx.clock
        self._insert: Any = sqlite.insert if ctx.db.dialect == "sqlite" else postgresql.insert

    async def enqueue(self, notes: Collection[tuple[str, str]], *, forced: bool = False) -> None:
        """Put notes, as (id, owner), into the queue; one that is in it stays there once."""
        if notes:
            await self._db.write(lambda session: self._enqueue(session, notes, forced))

    async def enqueue_other_models(self, model: str) -> int:
        """Put every note whose vectors are of another model into the queue; return how many."""

        def put(session: Session) -> int:
            old = select(EMBEDDING.c.note_id, EMBEDDING.c.owner, literal(False), literal(1), literal(0)).where(
                EMBEDDING.c.model != model
            )
            columns = ["note_id", "owner", "forced", "round", "attempts"]
            insert = self._insert(QUEUE).from_select(columns, old).on_conflict_do_nothing()
            return int(session.connection().execute(insert).rowcount)

        return await self._db.write(put)

    async def next(self, limit: int) -> Sequence[QueuedNote]:
        """Return the notes that have waited longest, and may be tried now."""
        now = self._clock.now()
        statement = (
            select(QUEUE.c.note_id, QUEUE.c.owner, QUEUE.c.forced, QUEUE.c.round, QUEUE.c.attempts)
            .where(or_(QUEUE.c.not_before.is_(None), QUEUE.c.not_before <= now))
            .order_by(QUEUE.c.id)
            .limit(limit)
        )
        return await self._db.read(lambda s: [QueuedNote(*row) for row in s.execute(statement)])

    async def next_due(self) -> datetime | None:
        """Return when the first of the notes that have to wait may be tried again, or None."""
        statement = select(QUEUE.c.not_before).where(QUEUE.c.not_before.is_not(None)).order_by(QUEUE.c.not_before)
        moment: datetime | None = await self._db.read(lambda s: s.execute(statement.limit(1)).scalar())
        return moment

    async def known(self, note_ids: Collection[str]) -> Mapping[str, tuple[str, str]]:
        """Return (hash of the text, model) of those that have vectors."""

        def load(session: Session) -> dict[str, tuple[str, str]]:
            statement = select(EMBEDDING.c.note_id, EMBEDDING.c.text_hash, EMBEDDING.c.model).where(
                EMBEDDING.c.note_id.in_(note_ids)
            )
            return {row[0]: (row[1], row[2]) for row in session.execute(statement)}

        return await self._db.read(load) if note_ids else {}

    async def finish(self, done: Sequence[QueuedNote], stored: Sequence[StoredVectors]) -> frozenset[str]:
        """Store vectors and take all of `done` out of the queue, in one transaction; return the notes stored.

        A note that was put in again since it was read stays in the queue, for another round; of one that was deleted
        since, which is in the queue no longer, nothing is stored.
        """

        def write(session: Session) -> frozenset[str]:
            connection = session.connection()
            ids = [waiting.note_id for waiting in done]
            there = frozenset(connection.execute(select(QUEUE.c.note_id).where(QUEUE.c.note_id.in_(ids))).scalars())
            for values in (_row(item) for item in stored if item.note_id in there):
                insert = self._insert(EMBEDDING).values(values)
                connection.execute(insert.on_conflict_do_update(index_elements=["note_id"], set_=_but_id(values)))
            for waiting in done:
                mine = QUEUE.c.note_id == waiting.note_id, QUEUE.c.round == waiting.round
                connection.execute(delete(QUEUE).where(*mine))
            return there

        return await self._db.write(write)

    async def postpone(self, waiting: QueuedNote) -> bool:
        """Postpone a refused note; False if it had its last attempt and leaves the queue."""
        tries = waiting.attempts + 1
        if tries >= _MOST_TRIES:
            await self.finish([waiting], [])
            return False
        due = self._clock.now() + timedelta(seconds=15 * 2**tries)
        statement = update(QUEUE).where(QUEUE.c.note_id == waiting.note_id).values(attempts=tries, not_before=due)
        await self._db.write(lambda session: session.execute(statement))
        return True

    async def describe(self, described: Mapping[str, Attributes]) -> None:
        """Change the attributes of notes."""
        rows = [{"of_note": note_id, **_columns(attributes)} for note_id, attributes in described.items()]
        if rows:
            await self._db.write(lambda session: session.connection().execute(_DESCRIBE, rows))

    async def forget(self, note_ids: Sequence[str]) -> None:
        """Remove notes from the vectors and from the queue."""

        def write(session: Session) -> None:
            for table in (EMBEDDING, QUEUE):
                session.execute(delete(table).where(table.c.note_id.in_(note_ids)))

        if note_ids:
            await self._db.write(write)

    async def page(self, after: str, model: str, limit: int = _IN_ONE) -> Sequence[StoredVectors]:
        """Return vectors of a model by rising id of their notes, behind `after`."""
        table = EMBEDDING.c
        statement = (
            select(
                table.note_id, table.owner, table.namespace, table.source, table.client, table.tags, table.importance,
                table.archived, table.created_at, table.model, table.dimension, table.text_hash, table.pieces,
                table.vectors,
            )
            .where(table.note_id > after, table.model == model)
            .order_by(table.note_id)
            .limit(limit)
        )  # fmt: skip
        return await self._db.read(lambda s: [_stored(row) for row in s.execute(statement)])

    async def between(self, after: str, last: str | None) -> Sequence[str]:
        """Return the notes with vectors whose ids lie behind `after`, up to `last`."""
        statement = select(EMBEDDING.c.note_id).where(EMBEDDING.c.note_id > after)
        if last is not None:
            statement = statement.where(EMBEDDING.c.note_id <= last)
        return await self._db.read(lambda s: list(s.execute(statement).scalars()))

    async def owners(self) -> Sequence[str]:
        """Return the ids of users that have embeddings."""
        return await self._db.read(lambda s: list(s.execute(select(EMBEDDING.c.owner).distinct()).scalars()))

    async def models(self) -> Mapping[str, int]:
        """Return the models that there are vectors of, and their dimensions."""
        statement = select(EMBEDDING.c.model, EMBEDDING.c.dimension).distinct()
        return await self._db.read(lambda s: {row[0]: row[1] for row in s.execute(statement)})

    async def counts(self, owner: str, model: str | None) -> tuple[int, int]:
        """Return how many notes of an owner wait, and how many have vectors of the model."""

        def load(session: Session) -> tuple[int, int]:
            waiting = select(func.count()).select_from(QUEUE).where(QUEUE.c.owner == owner)
            having = select(func.count()).select_from(EMBEDDING).where(EMBEDDING.c.owner == owner)
            if model is not None:
                having = having.where(EMBEDDING.c.model == model)
            return int(session.execute(waiting).scalar() or 0), int(session.execute(having).scalar() or 0)

        return await self._db.read(load)

    def _enqueue(self, session: Session, notes: Collection[tuple[str, str]], forced: bool) -> None:
        rows = [
            {"note_id": id, "owner": owner, "forced": forced, "round": 1, "attempts": 0}
            for id, owner in dict(notes).items()
        ]
        for at in range(0, len(rows), _IN_ONE):
            insert = self._insert(QUEUE).values(rows[at : at + _IN_ONE])
            again = {
                "round": QUEUE.c.round + 1,
                "forced": or_(QUEUE.c.forced, insert.excluded.forced),
                "attempts": 0,
                "not_before": None,
            }
            session.connection().execute(insert.on_conflict_do_update(index_elements=["note_id"], set_=again))


def _columns(attributes: Attributes) -> dict[str, Any]:
    values = asdict(attributes)
    values["tags"] = orjson.dumps(list(attributes.tags)).decode()
    return values


def _row(item: StoredVectors) -> dict[str, Any]:
    return {
        "note_id": item.note_id,
        "model": item.model,
        "dimension": item.dimension,
        "text_hash": item.text_hash,
        "pieces": item.pieces,
        "vectors": item.vectors,
        **_columns(item.attributes),
    }


def _but_id(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "note_id"}


def _stored(row: Any) -> StoredVectors:
    owner, namespace, source, client, tags, importance, archived, created_at = row[1:9]
    attributes = Attributes(
        owner=owner,
        namespace=namespace,
        source=source,
        client=client,
        tags=tuple(orjson.loads(tags)),
        importance=importance,
        archived=archived,
        created_at=created_at,
    )
    return StoredVectors(row[0], attributes, *row[9:14])
