"""Columns exactly as they are stored, so that a change which a driver would read over, or choke on, is seen.

On SQLite a text is read as its bytes (a value of another type as bytes that no text has), a time as the text it is
there; on PostgreSQL, whose types hold, a time as text in UTC. `plain` makes both alike.
"""

from __future__ import annotations

from typing import Any

from cloudos_sdk import UtcDateTime
from sqlalchemy import LargeBinary, case, cast, func, literal_column
from sqlalchemy.sql.elements import ColumnElement

_PG_TIME = 'ADYYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def exact(column: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """Return the expression that reads `column` as stored, under its own name."""
    is_time = isinstance(column.type, UtcDateTime)
    if dialect != "sqlite":
        return func.to_char(func.timezone("UTC", column), _PG_TIME).label(column.name) if is_time else column
    if column.type.python_type is int:
        return column
    other = literal_column("x'ff'", LargeBinary)
    return case((func.typeof(column) == "blob", other), else_=cast(column, LargeBinary)).label(column.name)


def plain(value: Any) -> Any:
    """Return the text of bytes; bytes that are no text stay bytes."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def plain_time(value: Any) -> Any:
    """Return `2025-01-15T10:30:00.000000Z` for a stored time of either database; other values unchanged."""
    text = plain(value)
    if not isinstance(text, str):
        return text
    if len(text) == 26 and text[10] == " ":
        return f"{text[:10]}T{text[11:]}Z"
    return text.removeprefix("AD")
