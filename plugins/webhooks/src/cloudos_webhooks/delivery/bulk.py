"""Many deliveries by one statement.

For each row that SQLite's driver writes or reads it gives the interpreter away, and beside a busy event loop waits for
it many times as long as the row takes. So there all rows go through one JSON text. PostgreSQL's driver sends them
together by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Select, bindparam, func, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from cloudos_webhooks.models import Delivery

TABLE = Delivery.__table__
CHANGED = ("state", "tries", "attempts", "due_at", "settled_at")

_INSERTED = ("seq", "webhook_id", "event_id", "type", "body", "tries", "attempts", "created_at", "state", "settled_at")
_GIVEN = ("at", *(f"new_{name}" for name in CHANGED))
_ROW = func.json_each(bindparam("rows")).table_valued("value", name="given")
_VALUES = [func.json_extract(_ROW.c.value, f"$[{at}]") for at in range(len(_INSERTED))]
_KEY = ["event_id", "webhook_id"]
# the condition tells SQLite that ON begins no join
_INSERT = sqlite.insert(TABLE).from_select(_INSERTED, select(*_VALUES).where(true())).on_conflict_do_nothing(_KEY)
_UPDATE = (
    update(TABLE)
    .values({name: func.json_extract(_ROW.c.value, f"$[{at}]") for at, name in enumerate(CHANGED, 1)})
    .where(TABLE.c.seq == func.json_extract(_ROW.c.value, "$[0]"))
)
_INSERT_EACH = postgresql.insert(TABLE).on_conflict_do_nothing(index_elements=_KEY)
_UPDATE_EACH = (
    update(TABLE).where(TABLE.c.seq == bindparam("at")).values({name: bindparam(f"new_{name}") for name in CHANGED})
)

Change = Mapping[str, Any]
"""New values of a delivery: `at` is its number, `new_…` the columns."""


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert deliveries that do not exist yet; return how many."""
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return int(connection.execute(_INSERT_EACH, rows).rowcount)
    values = [[_plain(row.get(name)) for name in _INSERTED] for row in rows]
    return int(connection.execute(_INSERT, {"rows": orjson.dumps(values).decode()}).rowcount)


def change(session: Session, changes: Sequence[Change]) -> None:
    """Store changes."""
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        connection.execute(_UPDATE_EACH, changes)
        return
    values = [[_plain(each[name]) for name in _GIVEN] for each in changes]
    connection.execute(_UPDATE, {"rows": orjson.dumps(values).decode()})


def packed(statement: Select[Any], dialect: str) -> Select[Any]:
    """Return a statement of which `unpacked` makes the rows of `statement`; their first column is their order."""
    if dialect != "sqlite":
        return statement
    found = statement.subquery()
    return select(func.json_group_array(func.json_array(*found.c)))


def unpacked(session: Session, statement: Select[Any], given: Mapping[str, Any]) -> Iterable[Sequence[Any]]:
    """Execute a packed statement and return its rows in their order. No column may be a time."""
    found = session.execute(statement, given)
    return sorted(orjson.loads(found.scalar_one())) if session.connection().dialect.name == "sqlite" else found.all()


def _plain(value: Any) -> Any:
    """Return a value as SQLite keeps it: of a time the text that SQLAlchemy makes of it, five times as fast."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value
