"""Series and roll-ups in the database: minutes for a day, hours for a month, days for a year."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cloudos_sdk import Database
from sqlalchemy import bindparam, case, delete, select
from sqlmodel import Session

from cloudos_system.models import Rollup, SeriesRow

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: the metric's name and its labels as sorted pairs."""

MINUTE, HOUR, DAY = 60, 3600, 86_400
KEPT = {MINUTE: 25 * HOUR, HOUR: 31 * DAY, DAY: 366 * DAY}
"""For how many seconds each step is kept: what a range shows, and the bucket that it cuts into."""

MOST_SERIES = 2000
"""Series beyond these are not kept: a source with labels that never end must not fill the disk."""

ROLLUP, SERIES = Rollup.__table__, SeriesRow.__table__


@dataclass(frozen=True, slots=True)
class Bucket:
    """The readings of one series in one minute."""

    low: float
    high: float
    mean: float
    n: int


@dataclass(frozen=True, slots=True)
class Minute:
    """All series of one minute, which begins at `ts`."""

    ts: int
    buckets: Mapping[Key, Bucket]


class SeriesStore:
    """Writes minutes and lists series."""

    def __init__(self, db: Database, log: Any) -> None:
        self._db = db
        self._log = log
        self._full = False
        self._newest = 0
        self.ids: dict[Key, int] = {}
        self.rewrites = 0
        """How often minutes were written that others came after: a clock was set back."""

    async def load(self) -> None:
        """Read which series there are."""
        statement = select(SERIES.c.id, SERIES.c.metric, SERIES.c.labels)
        rows = await self._db.read(lambda session: session.execute(statement).all())
        self.ids = {(row.metric, _pairs(row.labels)): row.id for row in rows}

    async def write(self, minutes: Sequence[Minute]) -> None:
        """Add minutes to all three tiers in one transaction, merging with existing buckets."""
        known = self._admit({key for minute in minutes for key in minute.buckets})

        def add(session: Session) -> None:
            ids = self._identify(session, known)
            buckets = ((minute.ts, key, one) for minute in minutes for key, one in minute.buckets.items())
            rows = [(ids[key], ts, one) for ts, key, one in buckets if key in ids]
            upsert = _upsert(self._db.dialect)
            for step in KEPT if rows else ():
                session.connection().execute(upsert, [_row(step, *row) for row in rows])
            self._db.after_commit(session, written)

        def written() -> None:
            if any(minute.ts <= self._newest for minute in minutes):
                self.rewrites += 1
            self._newest = max(self._newest, *(minute.ts for minute in minutes))

        await self._db.write(add)

    async def prune(self, now: float) -> int:
        """Delete expired rows and empty series; return the number of the latter."""

        def remove(session: Session) -> int:
            ids = session.execute(select(SERIES.c.id)).scalars().all()
            found = ROLLUP.c
            old = (found.step == bindparam("of")) & (found.series == bindparam("id")) & (found.ts < bindparam("to"))
            due = [{"of": step, "id": id, "to": int(now) - kept} for step, kept in KEPT.items() for id in ids]
            if due:
                session.connection().execute(delete(ROLLUP).where(old), due)
            left = select(found.series).where(found.step.in_(KEPT), found.series == SERIES.c.id).exists()
            gone = set(session.execute(select(SERIES.c.id).where(~left)).scalars())
            session.connection().execute(delete(SERIES).where(SERIES.c.id.in_(gone)))
            # here, not after the commit: the next write must not take an id that is gone, and may look it up again
            self.ids = {key: id for key, id in self.ids.items() if id not in gone}
            return len(gone)

        return await self._db.write(remove)

    def _admit(self, keys: Iterable[Key]) -> list[Key]:
        """Return the series that may be kept."""
        old = [key for key in keys if key in self.ids]
        new = sorted(key for key in keys if key not in self.ids)
        room = max(0, MOST_SERIES - len(self.ids))
        if len(new) > room and not self._full:
            self._full = True
            self._log.warning("too many series; new ones are not kept", kept=MOST_SERIES, left_out=new[room][0])
        return old + new[:room]

    def _identify(self, session: Session, keys: Sequence[Key]) -> dict[Key, int]:
        """Return the ids of series; new ones are made."""
        ids = {key: self.ids[key] for key in keys if key in self.ids}
        made = {}
        for metric, labels in (key for key in keys if key not in ids):
            row = {"metric": metric, "labels": orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()}
            session.connection().execute(_insert(self._db.dialect, SERIES).values(**row).on_conflict_do_nothing())
            found = select(SERIES.c.id).where(SERIES.c.metric == row["metric"], SERIES.c.labels == row["labels"])
            made[metric, labels] = int(session.execute(found).scalar_one())
        if made:
            self._db.after_commit(session, lambda: self.ids.update(made))
        return ids | made


def _pairs(labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(orjson.loads(labels).items()))


def _row(step: int, series: int, ts: int, one: Bucket) -> dict[str, Any]:
    start = ts - ts % step
    return {"step": step, "series": series, "ts": start, "low": one.low, "high": one.high, "mean": one.mean, "n": one.n}


def _insert(dialect: str, table: Any) -> Any:
    """Return the dialect's insert with ON CONFLICT; imports only the dialect in use."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _upsert(dialect: str) -> Any:
    """Return the statement that adds readings to a bucket, new or not."""
    insert = _insert(dialect, ROLLUP)
    new, old = insert.excluded, ROLLUP.c
    return insert.on_conflict_do_update(
        index_elements=[old.step, old.series, old.ts],
        set_={
            "low": case((new.low < old.low, new.low), else_=old.low),
            "high": case((new.high > old.high, new.high), else_=old.high),
            "mean": (old.mean * old.n + new.mean * new.n) / (old.n + new.n),
            "n": old.n + new.n,
        },
    )
