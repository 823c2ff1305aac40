"""Locks accounts and addresses out for a while after failures; the while doubles with each further one.

An account is locked for a quarter of an hour at most, so that nobody can keep its owner out for ever; an address for
an hour. Names that do not exist are counted like those that do.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from cloudos_sdk import Context, TooManyRequests
from sqlmodel import Session as Db
from sqlmodel import delete, select

from cloudos_auth.models import Lockout

_FIRST = 5.0
_FORGET = timedelta(hours=24)


class Lockouts:
    """Counts failures; kept over a restart."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._failures: dict[str, tuple[int, datetime]] = {}
        settings = ctx.settings
        self._limits = {"user": (settings.account_failures, 900.0), "address": (settings.address_failures, 3600.0)}

    async def load(self) -> None:
        """Read the failures that are remembered."""
        rows = await self._ctx.db.read(lambda s: s.exec(select(Lockout)).all())
        self._failures = {row.subject: (row.failures, row.failed_at) for row in rows}

    def check(self, username: str, address: str | None) -> None:
        """Raise TooManyRequests where the account or the address is locked now."""
        wait = max(self._wait(subject) for subject in _subjects(username, address))
        if wait > 0:
            raise TooManyRequests(
                "Too many failed attempts; wait before you try again.", code="locked_out", retry_after=math.ceil(wait)
            )

    def failed(self, db: Db, username: str, address: str | None) -> None:
        """Count a failure, in the transaction in hand."""
        now = self._ctx.clock.now()
        for subject in _subjects(username, address):
            count, at = self._failures.get(subject, (0, now))
            count = 1 if now - at > _FORGET else count + 1
            self._failures[subject] = (count, now)
            db.merge(Lockout(subject=subject, failures=count, failed_at=now))

    def succeeded(self, db: Db, username: str, address: str | None) -> None:
        """Forget the failures of an account, and of the address that proved to be its owner's."""
        for subject in _subjects(username, address):
            if self._failures.pop(subject, None) is not None:
                db.execute(delete(Lockout).where(Lockout.__table__.c.subject == subject))

    async def purge(self) -> None:
        """Forget what is a day old."""
        before = self._ctx.clock.now() - _FORGET
        await self._ctx.db.write(lambda s: s.execute(delete(Lockout).where(Lockout.__table__.c.failed_at < before)))
        self._failures = {subject: entry for subject, entry in self._failures.items() if entry[1] >= before}

    def _wait(self, subject: str) -> float:
        entry = self._failures.get(subject)
        if entry is None:
            return 0.0
        count, at = entry
        free, longest = self._limits[subject.partition(":")[0]]
        if count < free:
            return 0.0
        locked: float = min(longest, _FIRST * 2.0 ** min(count - free, 20))
        return locked - (self._ctx.clock.now() - at).total_seconds()


def _subjects(username: str, address: str | None) -> list[str]:
    return [f"user:{username[:64]}"] + ([f"address:{address}"] if address else [])
