"""Failures of the database itself (full, unreachable, read-only, broken) as a 503 with a remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from cloudos_sdk import CloudOSError, DatabaseUnavailable
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

FULL, BUSY, READ_ONLY, BROKEN, AWAY, ENDED = "full", "busy", "read_only", "broken", "unavailable", "ended"
_MESSAGES = {
    FULL: "The disk of the node's database is full, so nothing was written; free space on it and try again.",
    BUSY: "The node's database is held by other work; try again in some seconds.",
    READ_ONLY: "The node's database is read-only, so nothing was written; make its file, folder or server writable.",
    BROKEN: "The node's database cannot be read from its disk; look at the disk, and restore a backup if need be.",
    AWAY: "The node's database cannot be reached; start it, or look at host.database_url and the data folder.",
    ENDED: "The database ended this transaction, so nothing was written; try again.",
}
_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_IOERR: BROKEN,
    sqlite3.SQLITE_CORRUPT: BROKEN,
    sqlite3.SQLITE_NOTADB: BROKEN,
    sqlite3.SQLITE_CANTOPEN: AWAY,
    sqlite3.SQLITE_NOMEM: BUSY,
}
_SQLITE_WHOLE = {sqlite3.SQLITE_IOERR_SHMSIZE: FULL}  # no room for the file of its index
_POSTGRESQL = {  # https://www.postgresql.org/docs/current/errcodes-appendix.html, whole codes before their classes
    "53100": FULL,
    "53": BUSY,
    "40": BUSY,
    "55P03": BUSY,
    "25006": READ_ONLY,
    "58": BROKEN,
    "XX001": BROKEN,
    "XX002": BROKEN,
    "08": AWAY,
    "28": AWAY,
    "3D": AWAY,
    "57P": AWAY,
}
_TRANSACTION_LOST = (3, 4)  # INERROR, UNKNOWN of libpq's PGTransactionStatusType


def refusal(error: BaseException) -> DatabaseUnavailable | None:
    """Return the 503 for an error of the database's own state; None for every other error."""
    if isinstance(error, CloudOSError) and not isinstance(error, DatabaseUnavailable):
        return None
    for cause in _chain(error):
        if isinstance(cause, DatabaseUnavailable):  # each who waits gets one of their own
            return DatabaseUnavailable(cause.message, code=cause.code, retry_after=cause.retry_after)
        kind = _kind(cause)
        if kind is not None:
            return unavailable(kind)
    return None


def unavailable(kind: str) -> DatabaseUnavailable:
    """Return the 503 of a kind of failure."""
    return DatabaseUnavailable(_MESSAGES[kind], code=f"database_{kind}", retry_after=5)


def lasts(error: DatabaseUnavailable) -> bool:
    """Return whether an error lasts, in contrast to one of the moment."""
    return error.code not in (f"database_{BUSY}", f"database_{ENDED}")


def goes_on(connection: Connection) -> bool:
    """Return whether a connection's transaction is still open; some errors roll it back."""
    if connection.invalidated:
        return False
    driver: Any = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        return driver.in_transaction
    return driver.info.transaction_status not in _TRANSACTION_LOST


def _kind(error: BaseException) -> str | None:
    if isinstance(error, PoolTimeout):
        return BUSY
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        code: int = getattr(error.orig, "sqlite_errorcode", 0)
        return _SQLITE_WHOLE.get(code) or _SQLITE.get(code & 0xFF)
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:  # the client's own words: refused, timed out, cut off
        away = error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
        return AWAY if away else None
    return next((kind for prefix, kind in _POSTGRESQL.items() if state.startswith(prefix)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
