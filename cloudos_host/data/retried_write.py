"""Writes that must not be lost: retried until the database is available."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cloudos_sdk import Clock, DatabaseUnavailable
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from cloudos_host.data.database import Database

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


async def write_surely(db: Database, clock: Clock, log: Any, what: str, fn: Callable[[Session], T]) -> T:
    """Run `fn` in a transaction, as often as it takes; it must add no object that an earlier run was given."""
    wait = _FIRST_WAIT
    while True:
        try:
            return await db.write(fn)
        except (DatabaseUnavailable, OperationalError) as error:
            log.warning("it cannot be stored yet and is tried again", what=what, again_in=wait, reason=str(error))
            await clock.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)
