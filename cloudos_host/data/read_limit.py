"""One read of the database: it ends after its time, with the request that asked for it, and with the host."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cloudos_sdk import Unavailable
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

_STEPS = 20_000  # of SQLite's machine, some milliseconds, between two looks at the clock
_CANCELLED = "57014"  # PostgreSQL's query_canceled, which its statement_timeout answers


class ActiveRead:
    """A running read with a limit in seconds. `over` is set when its caller no longer waits."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._until = 0.0
        self._ended = False
        self.over = False

    @contextmanager
    def bounded(self, session: Session) -> Iterator[None]:
        """Limit the time of a session's reads from now on. Called in the reader thread, so that waiting does not count.

        Raises Unavailable where it was ended.
        """
        self._until = time.monotonic() + self._limit
        driver: Any = session.connection().connection.driver_connection
        watched = hasattr(driver, "set_progress_handler")  # SQLite's; a server bounds its statements itself
        if watched:
            driver.set_progress_handler(self._look, _STEPS)
        try:
            yield
        except DBAPIError as error:
            if self._ended or getattr(error.orig, "sqlstate", None) == _CANCELLED:
                raise self._refusal() from error
            raise
        finally:
            if watched:
                driver.set_progress_handler(None, 0)

    def _refusal(self) -> Unavailable:
        message = f"Reading this took over {self._limit:g} s and was ended; ask for less of it at a time."
        return Unavailable(message, code="query_too_long", retry_after=5)

    def _look(self) -> int:
        """Tell SQLite to go on (0) or to end the statement in hand."""
        self._ended = self._ended or self.over or time.monotonic() > self._until
        return int(self._ended)
