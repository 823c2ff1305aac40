"""A database that fails at each statement while a test wants it to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError


class Outage:
    """The outage of one database, for as long as it is `on`; `tried` counts what failed by it."""

    def __init__(self, db: Any) -> None:
        self.db, self.on, self.tried = db, False, 0
        self.error: Exception = Exception("database is locked")
        self._read, self._write = db.read, db.write
        db.read, db.write = self.read, self.write

    async def read(self, fn: Callable[[Any], Any]) -> Any:
        """Read, or fail."""
        return await self._read(self._failing(fn))

    async def write(self, fn: Callable[[Any], Any]) -> Any:
        """Write, or fail."""
        return await self._write(self._failing(fn))

    def _failing(self, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(session: Any) -> Any:
            if self.on:
                self.tried += 1
                raise OperationalError("SELECT 1", {}, self.error)
            return fn(session)

        return run


def disk_error() -> Exception:
    """Return SQLite's error for a disk that cannot be read."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


@pytest.fixture
def outage() -> type[Outage]:
    """Return the outage to come: `broken = outage(host.host.db)`, then `broken.on = True`."""
    return Outage
