"""Deliveries in the database: pending, attempted and expired ones."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
from cloudos_sdk import Database, InvalidRequest, NotFound, iso
from cloudos_sdk.http import Page
from sqlalchemy import Integer, bindparam, delete, func, select
from sqlmodel import Session

from cloudos_webhooks.delivery import bulk
from cloudos_webhooks.delivery.bulk import TABLE, Change
from cloudos_webhooks.subscription_cache import TABLE as WEBHOOK

_STEP = 5000
_OPEN = TABLE.c.settled_at.is_(None)
_SENT = (TABLE.c.seq, TABLE.c.event_id, TABLE.c.body, TABLE.c.tries, TABLE.c.attempts)


class DueDelivery(NamedTuple):
    """A delivery whose time has come."""

    seq: int
    event_id: str
    body: str
    tries: int = 0
    attempts: str = "[]"


class Queue(NamedTuple):
    """The due retries of one endpoint, and when the next is due."""

    head: list[DueDelivery]
    next_due: datetime | None


def new_row(webhook_id: str, event_id: str, type: str, body: str, now: datetime) -> dict[str, Any]:
    """Return the columns of a delivery that was never tried."""
    return {
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

    def __init__(self, db: Database, longest_wait: timedelta) -> None:
        self._db = db
        self.longest_wait = longest_wait
        self._last = 0
        whose, most = TABLE.c.webhook_id == bindparam("id"), bindparam("most", type_=Integer)
        refused = TABLE.c.state == "retrying"
        mine = select(*_SENT).where(whose, _OPEN).order_by(TABLE.c.seq)
        self._all_refused = mine.where(refused).limit(most)
        due = (TABLE.c.due_at <= bindparam("before")) | (TABLE.c.due_at > bindparam("beyond"))
        self._refused = self._all_refused.where(due)
        new = mine.where(TABLE.c.state == "waiting", TABLE.c.seq > bindparam("reached")).limit(most)
        self._new = bulk.packed(new, db.dialect)
        later = TABLE.c.due_at.between(bindparam("before"), bindparam("beyond"))
        self._next_due = select(func.min(TABLE.c.due_at)).where(whose, _OPEN, refused, later)

    async def open(self) -> None:
        """Find the last number given."""
        self._last = int(await self._db.read(lambda s: s.execute(select(func.max(TABLE.c.seq))).scalar()) or 0)

    def add(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> list[DueDelivery | None]:
        """Add deliveries, each once however often it comes.

        Return for each what can be sent from memory; None for all where some were there before.
        """
        numbered = [{**row, "seq": seq} for seq, row in enumerate(rows, self._last + 1)]
        self._last += len(numbered)
        if bulk.add(session, numbered) != len(numbered):
            return [None] * len(numbered)
        return [DueDelivery(row["seq"], row["event_id"], row["body"]) for row in numbered]

    async def refused(self, webhook_id: str, before: datetime | None, most: int) -> Queue:
        """Return the retries due at `before`, or all, and when the next is due.

        What is due later than any wait there is was put off by a clock that was ahead; it is due now.
        """

        def load(session: Session) -> Queue:
            if before is None:
                return Queue([DueDelivery(*row) for row in session.execute(self._all_refused, given)], None)
            head = [DueDelivery(*row) for row in session.execute(self._refused, given)]
            return Queue(head, session.execute(self._next_due, {"id": webhook_id, **times}).scalar())

        times = {"before": before, "beyond": before + self.longest_wait} if before is not None else {}
        given = {"id": webhook_id, "most": most, **times}
        return await self._db.read(load)

    async def new(self, webhook_id: str, reached: int, most: int) -> list[DueDelivery]:
        """Return untried deliveries with a number after `reached`."""
        given = {"id": webhook_id, "reached": reached, "most": most}
        return await self._db.read(lambda s: [DueDelivery(*row) for row in bulk.unpacked(s, self._new, given)])

    def tried(self, session: Session, seqs: Collection[int]) -> dict[int, Change]:
        """Return the current state of existing rows by number, as changes."""
        if not seqs:
            return {}
        statement = select(*(TABLE.c[name] for name in ("seq", *bulk.CHANGED))).where(TABLE.c.seq.in_(seqs))
        rows = session.execute(statement).mappings()
        return {row["seq"]: {f"new_{name}": row[name] for name in bulk.CHANGED} for row in rows}

    async def waiting(self) -> dict[str, int]:
        """Return how many deliveries are still to be made, by webhook."""
        statement = select(TABLE.c.webhook_id, func.count()).where(_OPEN).group_by(TABLE.c.webhook_id)
        return {id: count for id, count in await self._db.read(lambda s: s.execute(statement).all())}

    async def page(self, webhook_id: str, page: Page) -> list[dict[str, Any]]:
        """Return a webhook's deliveries, newest first; with `after` alone those next to it. Raises InvalidRequest."""
        edges = [await self._place(webhook_id, name, getattr(page, name)) for name in ("before", "after")]
        upwards = edges[0] is None and edges[1] is not None
        statement = select(TABLE).where(TABLE.c.webhook_id == webhook_id).limit(page.limit)
        if edges[0] is not None:
            statement = statement.where(TABLE.c.seq < edges[0])
        if edges[1] is not None:
            statement = statement.where(TABLE.c.seq > edges[1])
        statement = statement.order_by(TABLE.c.seq if upwards else TABLE.c.seq.desc())
        rows = await self._db.read(lambda s: s.execute(statement).all())
        return [shown(row) for row in (reversed(rows) if upwards else rows)]

    async def _place(self, webhook_id: str, name: str, id: str | None) -> int | None:
        """Return the number of the delivery at which a page begins. Raises InvalidRequest for an unknown id."""
        if id is None:
            return None
        try:
            return int((await self.get(webhook_id, id)).seq)
        except NotFound as error:
            raise InvalidRequest.field(name, f"there is no delivery {id!r}") from error

    async def get(self, webhook_id: str, id: str) -> Any:
        """Return one row. Raises NotFound."""
        event_id = f"evt_{id.removeprefix('whd_')}"
        statement = select(TABLE).where(TABLE.c.event_id == event_id, TABLE.c.webhook_id == webhook_id)
        row = (
            await self._db.read(lambda s: s.execute(statement).first()) if id[:4] == "whd_" and "\0" not in id else None
        )
        if row is None:
            raise NotFound("delivery", id)
        return row

    async def prune(self, before: datetime) -> int:
        """Delete deliveries older than `before` in any state; return how many."""

        def step(session: Session) -> int:
            oldest = session.execute(select(TABLE.c.seq, TABLE.c.created_at).order_by(TABLE.c.seq).limit(_STEP))
            old = [row.seq for row in itertools.takewhile(lambda row: row.created_at < before, oldest)]
            if old:
                session.execute(delete(TABLE).where(TABLE.c.seq <= old[-1]))
            return len(old)

        return await self._in_steps(step)

    async def forget(self, webhook_id: str | None = None) -> int:
        """Delete the deliveries of a deleted webhook, or of all deleted ones; return how many."""
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


def delivery_id(event_id: str) -> str:
    """Return the id of an event's delivery, which is its own among those of one webhook."""
    return f"whd_{event_id.removeprefix('evt_')}"


def shown(row: Any) -> dict[str, Any]:
    """Return a delivery as the API shows it."""
    return {
        "id": delivery_id(row.event_id),
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
