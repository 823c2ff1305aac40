"""Reads the log: pages for the API, everything as JSON lines for an export."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import orjson
from cloudos_sdk import Database, InvalidRequest
from sqlalchemy import Select, and_, func, or_, select, union
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import Session

from cloudos_audit.chain_head import ENTRY
from cloudos_audit.raw_columns import exact, plain, plain_time
from cloudos_audit.schemas import Filters, LogQuery

_WINDOW = 2000
_MOST_ACTIONS = 40

Row = dict[str, Any]
Condition = ColumnElement[bool]


class AuditQueries:
    """Queries of entries. A tampered entry is shown as far as it is readable."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._columns = {column.key: exact(column, db.dialect) for column in ENTRY.c}

    async def page(self, query: LogQuery) -> list[Row]:
        """Return the entries that fit, newest first; with `after` alone, those next to it."""
        upwards = query.after is not None and query.before is None

        def load(session: Session) -> list[Row]:
            edges = [*self._edge(session, query.before, older=True), *self._edge(session, query.after, older=False)]
            branches = self._branches(session, query)
            if not branches:
                return []
            rows = session.execute(self._select(query, branches, edges, upwards)).mappings().all()
            return [_public(row) for row in (reversed(rows) if upwards else rows)]

        return await self._db.read(load)

    async def export(self, filters: Filters) -> AsyncGenerator[bytes, None]:
        """Yield the entries that fit as JSON lines, in the order of the chain, with all that their hashes cover.

        What is added after the beginning is left out.
        """
        last: int | None = await self._db.read(lambda s: s.execute(select(func.max(ENTRY.c.seq))).scalar())
        reached: int | None = None
        while last is not None:
            lines, reached = await self._db.read(partial(self._window, filters, reached, last))
            if lines:
                yield lines
            if reached is None:
                return

    def _window(self, filters: Filters, after: int | None, end: int, session: Session) -> tuple[bytes, int | None]:
        """Return the lines of the next entries, and the last number looked at; None at the end of the log."""
        window = select(ENTRY).where(ENTRY.c.seq <= end).order_by(ENTRY.c.seq).limit(_WINDOW)
        if after is not None:
            window = window.where(ENTRY.c.seq > after)
        inner = window.subquery()
        last, looked_at = session.execute(select(func.max(inner.c.seq), func.count()).select_from(inner)).one()
        columns = [exact(column, self._db.dialect) for column in inner.c]
        conditions = _conditions(filters, inner.c)
        area = _area(filters, inner.c)
        conditions += [area] if area is not None else []
        conditions += [or_(*actor)] if (actor := _actor(filters, inner.c)) else []
        rows = session.execute(select(*columns).where(*conditions).order_by(inner.c.seq)).mappings()
        lines = b"".join(orjson.dumps(_whole(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        return lines, last if looked_at == _WINDOW else None

    def _select(
        self, query: LogQuery, branches: list[list[Condition]], edges: list[Condition], upwards: bool
    ) -> Select[Any]:
        order = (ENTRY.c.time, ENTRY.c.seq) if upwards else (ENTRY.c.time.desc(), ENTRY.c.seq.desc())
        conditions = [*_conditions(query, ENTRY.c), *edges]
        statement = select(*(self._columns[name] for name in _SHOWN)).order_by(*order).limit(query.limit)
        if len(branches) == 1:
            return statement.where(*conditions, *branches[0])
        walks = [
            select(ENTRY.c.seq).where(*branch, *conditions).order_by(*order).limit(query.limit).subquery()
            for branch in branches
        ]
        return statement.where(ENTRY.c.seq.in_(union(*(select(walk.c.seq) for walk in walks))))

    def _branches(self, session: Session, query: Filters) -> list[list[Condition]]:
        """Return conditions of which one must hold; each walks one index in order and sorts nothing."""
        actors = [[condition] for condition in _actor(query, ENTRY.c)] or [[]]
        area = _area(query, ENTRY.c)
        if area is None:
            return actors
        names: list[str] = []
        while len(names) <= _MOST_ACTIONS:
            beyond = [ENTRY.c.action > names[-1]] if names else []
            name = session.execute(select(func.min(ENTRY.c.action)).where(area, *beyond)).scalar()
            if name is None:
                return [[ENTRY.c.action == name, *actor] for name in names for actor in actors]
            names.append(name)
        return [[area, *actor] for actor in actors]

    def _edge(self, session: Session, id: str | None, *, older: bool) -> list[Condition]:
        """Return the condition for entries beyond the entry `id`. Raises InvalidRequest for an unknown id."""
        if id is None:
            return []
        name = "before" if older else "after"
        known = select(ENTRY.c.seq).where(ENTRY.c.event_id == _event_id(id))
        seq = session.execute(known).scalar() if "\0" not in id else None  # PostgreSQL refuses to be asked
        if seq is None:
            raise InvalidRequest.field(name, f"there is no audit entry {id!r}; it may have reached its retention")
        time = select(ENTRY.c.time).where(ENTRY.c.seq == seq).scalar_subquery()
        if older:
            return [ENTRY.c.time <= time, or_(ENTRY.c.time < time, ENTRY.c.seq < seq)]
        return [ENTRY.c.time >= time, or_(ENTRY.c.time > time, ENTRY.c.seq > seq)]


_SHOWN = (
    "seq",
    "event_id",
    "time",
    "action",
    "resource",
    "details",
    "address",
    "actor_kind",
    "actor_id",
    "actor_name",
    "request_id",
)

_NAMES = tuple(ENTRY.c.keys())


def _conditions(filters: Filters, columns: Any) -> list[Condition]:
    conditions: list[Condition] = []
    if filters.action is not None and not filters.action.endswith("*"):
        conditions.append(columns.action == filters.action)
    if filters.resource is not None:
        conditions.append(columns.resource == filters.resource)
    if filters.since is not None:
        conditions.append(columns.time >= filters.since)
    if filters.until is not None:
        conditions.append(columns.time < filters.until)
    return conditions


def _area(filters: Filters, columns: Any) -> Condition | None:
    """Return the condition of `app.*`: an index range ("/" is the byte after "."), and no LIKE."""
    if filters.action is None or not filters.action.endswith(".*"):
        return None
    area = filters.action[:-2]
    return and_(columns.action >= f"{area}.", columns.action < f"{area}/")


def _actor(filters: Filters, columns: Any) -> list[Condition]:
    return [] if filters.actor is None else [columns.actor_id == filters.actor, columns.actor_name == filters.actor]


def _event_id(id: str) -> str:
    return f"evt_{id.removeprefix('aud_')}"


def _text(value: Any) -> Any:
    read = plain(value)
    return read.decode(errors="replace") if isinstance(read, bytes) else read


def _public(row: Any) -> Row:
    """Return an entry in the reference's form ("Audit"), with its actor."""
    return {
        "id": f"aud_{_text(row['event_id']).removeprefix('evt_')}",
        "action": _text(row["action"]),
        "resource": _text(row["resource"]),
        "details": _text(row["details"]),
        "ip_address": _text(row["address"]),
        "timestamp": f"{_text(plain_time(row['time']))[:19]}Z",
        "actor": {
            "kind": _text(row["actor_kind"]),
            "id": _text(row["actor_id"]),
            "name": _text(row["actor_name"]),
        },
        "request_id": _text(row["request_id"]),
        "seq": row["seq"],
    }


def _whole(row: Any) -> Row:
    """Return an entry with all that its hash covers: `time` in microseconds, `data` as the text that was hashed."""
    entry: Row = {name: _text(row[name]) for name in _NAMES if name != "time"}
    return {**_public(row), **entry, "time": _text(plain_time(row["time"]))}
