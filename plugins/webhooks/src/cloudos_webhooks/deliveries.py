"""The deliveries in the database, in core statements: what waits, what was tried, what is old."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from cloudos_sdk import Database, NotFound, iso, new_id
from cloudos_sdk.http import Page
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from cloudos_webhooks.directory import TABLE as WEBHOOK
from cloudos_webhooks.models import Delivery

TABLE = Delivery.__table__
_STEP = 5000
_OPEN = TABLE.c.settled_at.is_(None)
_SENT = (TABLE.c.seq, TABLE.c.event_id, TABLE.c.body, TABLE.c.tries)


class Due(NamedTuple):
    """A delivery whose time has come."""

    seq: int
    event_id: str
    body: str
    tries: int


class Queue(NamedTuple):
    """The head of one endpoint's queue, in order, and when the first of those that wait for their next try is due."""

    head: list[Due]
    next_due: datetime | None


def new_row(webhook_id: str, event_id: str, type: str, body: str, now: datetime) -> dict[str, Any]:
    """Return the columns of a delivery that was never tried."""
    return {
        "id": new_id("whd"),
        "webhook_id": webhook_id,
        "event_id": event_id,
        "type": type,
        "body": body,
        "state": "waiting",
        "tries": 0,
        "attempts": "[]",
        "created_at": now,
    }


class Deliveries:
    """All deliveries."""

    def __init__(self, db: Database) -> None:
        self._db = db
        insert = postgresql.insert if db.dialect == "postgresql" else sqlite.insert
        self._insert = insert(TABLE).on_conflict_do_nothing(index_elements=["webhook_id", "event_id"])
        columns = ("state", "tries", "attempts", "due_at", "settled_at")
        self._update = (
            update(TABLE)
            .where(TABLE.c.seq == bindparam("at"))
            .values({name: bindparam(f"new_{name}") for name in columns})
        )

    def add(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add deliveries, each once however often it comes; those of a webhook that is gone are left out."""
        wanted = {row["webhook_id"] for row in rows}
        there = set(session.execute(select(WEBHOOK.c.id).where(WEBHOOK.c.id.in_(wanted))).scalars())
        rows = [row for row in rows if row["webhook_id"] in there]
        if rows:
            session.connection().execute(self._insert, rows)

    async def queue(self, webhook_id: str, before: datetime | None, limit: int, *, fresh: bool) -> Queue:
        """Return the head of a queue: first what is tried again, due at `before` or all, then if `fresh` the new."""
        mine = select(*_SENT).where(TABLE.c.webhook_id == webhook_id, _OPEN).order_by(TABLE.c.seq)
        again = mine.where(TABLE.c.state == "retrying").limit(limit)
        if before is not None:
            again = again.where(TABLE.c.due_at <= before)
        next_due = select(func.min(TABLE.c.due_at)).where(
            TABLE.c.webhook_id == webhook_id, _OPEN, TABLE.c.state == "retrying"
        )

        def load(session: Session) -> Queue:
            head = [Due(*row) for row in session.execute(again)]
            if fresh and len(head) < limit:
                new = mine.where(TABLE.c.state == "waiting").limit(limit - len(head))
                head += [Due(*row) for row in session.execute(new)]
            return Queue(head, session.execute(next_due).scalar() if not head else None)

        return await self._db.read(load)

    def tried(self, session: Session, seqs: Collection[int]) -> dict[int, Any]:
        """Return what the rows that are still there say of their tries, by number."""
        names = ("seq", "state", "tries", "attempts", "due_at", "settled_at")
        columns = [TABLE.c[name] for name in names]
        return {row.seq: row for row in session.execute(select(*columns).where(TABLE.c.seq.in_(seqs)))}

    def store(self, session: Session, changes: Sequence[Mapping[str, Any]]) -> None:
        """Store states and tries: `at` is the number, `new_…` the columns."""
        session.connection().execute(self._update, changes)

    async def waiting(self) -> dict[str, int]:
        """Return how many deliveries are still to be made, by webhook."""
        statement = select(TABLE.c.webhook_id, func.count()).where(_OPEN).group_by(TABLE.c.webhook_id)
        return {id: count for id, count in await self._db.read(lambda s: s.execute(statement).all())}

    async def page(self, webhook_id: str, page: Page) -> list[dict[str, Any]]:
        """Return a webhook's deliveries, newest first; with `after` alone those next to it. Raises NotFound."""
        edges = [(await self.get(webhook_id, id)).seq if id else None for id in (page.before, page.after)]
        upwards = edges[0] is None and edges[1] is not None
        statement = select(TABLE).where(TABLE.c.webhook_id == webhook_id).limit(page.limit)
        if edges[0] is not None:
            statement = statement.where(TABLE.c.seq < edges[0])
        if edges[1] is not None:
            statement = statement.where(TABLE.c.seq > edges[1])
        statement = statement.order_by(TABLE.c.seq if upwards else TABLE.c.seq.desc())
        rows = await self._db.read(lambda s: s.execute(statement).all())
        return [shown(row) for row in (reversed(rows) if upwards else rows)]

    async def get(self, webhook_id: str, delivery_id: str) -> Any:
        """Return one row. Raises NotFound."""
        statement = select(TABLE).where(TABLE.c.id == delivery_id, TABLE.c.webhook_id == webhook_id)
        row = await self._db.read(lambda s: s.execute(statement).first()) if "\0" not in delivery_id else None
        if row is None:
            raise NotFound("delivery", delivery_id)
        return row

    async def prune(self, before: datetime) -> int:
        """Delete what is older than `before`, whatever its state; return how many."""

        def step(session: Session) -> int:
            oldest = session.execute(select(TABLE.c.seq, TABLE.c.created_at).order_by(TABLE.c.seq).limit(_STEP))
            old = [row.seq for row in itertools.takewhile(lambda row: row.created_at < before, oldest)]
            if old:
                session.execute(delete(TABLE).where(TABLE.c.seq <= old[-1]))
            return len(old)

        return await self._in_steps(step)

    async def forget(self, webhook_id: str | None = None) -> int:
        """Delete what is left of a webhook that is gone, or of all that are; return how many."""
        gone = TABLE.c.webhook_id.not_in(select(WEBHOOK.c.id))
        which = gone if webhook_id is None else (TABLE.c.webhook_id == webhook_id) & gone

        def step(session: Session) -> int:
            some = select(TABLE.c.seq).where(which).limit(_STEP)
            return int(session.connection().execute(delete(TABLE).where(TABLE.c.seq.in_(some))).rowcount)

        return await self._in_steps(step)

    async def _in_steps(self, step: Any) -> int:
        total = 0
        while count := await self._db.write(step):
            total += count
        return total


def shown(row: Any) -> dict[str, Any]:
    """Return a delivery as the API shows it."""
    return {
        "id": row.id,
        "event_id": row.event_id,
        "type": row.type,
        "state": row.state,
        "created_at": iso(row.created_at),
        "next_attempt_at": iso(row.due_at) if row.due_at is not None and row.settled_at is None else None,
        "payload": orjson.loads(row.body),
        "attempts": [
            attempt | {"at": iso(datetime.fromtimestamp(attempt["at"], UTC))} for attempt in orjson.loads(row.attempts)
        ],
    }
