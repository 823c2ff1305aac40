"""Locks accounts and addresses out for a while after failures; the while doubles with each further one.

An attempt is reserved before its slow work, so that no more of them are judged at once than may fail, and judged to the
end although the client hangs up. An account is locked for a quarter of an hour at most, so that nobody can keep its
owner out for ever; an address for an hour. A user who has signed in at an address before has a count of their own
there, and no other: neither failures from elsewhere nor other people's at that address lock them out. Names that do not
exist are counted like those that do.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cloudos_sdk import Context, TooManyRequests, caller
from cloudos_sdk.addresses import address_share
from cloudos_sdk.identity import act_as
from sqlmodel import Session as Db
from sqlmodel import delete, select

from cloudos_auth.models import KnownAddress, Lockout
from cloudos_auth.rates import RateLimit

T = TypeVar("T")

_FIRST = 5.0
_FORGET = timedelta(hours=24)
_KNOWN_FOR = timedelta(days=90)
_MOST_KNOWN = 50
_MOST_WAITING = 200
_MOST_IN_A_MINUTE = 40  # a sign-in with a second factor is two attempts


@dataclass(frozen=True)
class LoginAttempt:
    """An admitted sign-in attempt, counted for `account` and `address`.

    `address` is None where the user is known there.
    """

    user_id: str | None
    account: str
    address: str | None
    share: str | None
    known: bool
    """The user has signed in from there before, or is signed in."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects that the attempt counts for."""
        return (self.account,) if self.address is None else (self.account, self.address)


class Lockouts:
    """Counts failures; kept over a restart."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._failures: dict[str, tuple[int, datetime]] = {}
        self._known: dict[str, dict[str, datetime]] = {}
        self._working: dict[str, int] = {}
        self._waiting = {True: 0, False: 0}  # by whether the user is known there
        self._ended = asyncio.Event()
        self._rate = RateLimit(ctx.clock, _MOST_IN_A_MINUTE, 60.0)
        settings = ctx.settings
        self._limits = {
            "user": (settings.account_failures, 900.0),
            "known": (settings.account_failures, 900.0),
            "address": (settings.address_failures, 3600.0),
        }

    async def load(self) -> None:
        """Read the failures and the known addresses, in their order among the writes."""

        def read(db: Db) -> None:
            failures = {row.subject: (row.failures, row.failed_at) for row in db.exec(select(Lockout))}
            known: dict[str, dict[str, datetime]] = {}
            for row in db.exec(select(KnownAddress)):
                known.setdefault(row.user_id, {})[row.share] = row.seen_at

            def mirror() -> None:
                self._failures, self._known = failures, known

            self._ctx.db.after_commit(db, mirror)

        await self._ctx.db.write(read)

    async def judged(
        self,
        user_id: str | None,
        username: str,
        judge: Callable[[LoginAttempt], Awaitable[T]],
        *,
        signed_in: bool = False,
    ) -> T:
        """Reserve an attempt and judge it, to the end even if the caller is cancelled.

        Waits while others that may fail are under way. Who is `signed_in` has a count of their own, at any address.
        Raises TooManyRequests where the account or the address is locked now, or makes too many attempts.
        """
        origin = caller()
        attempt = self._of(user_id, username, origin.address, signed_in=signed_in)
        self._rate.hit(attempt.account if attempt.known else attempt.share or "")
        await self._reserve(attempt)
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            act_as(origin)
            try:
                outcome.set_result(await judge(attempt))
            except Exception as error:  # noqa: BLE001 - it is the caller's
                outcome.set_exception(error)

        def ended(task: asyncio.Task[None]) -> None:
            self._release(attempt)
            outcome.cancel()  # where the node stops

        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())  # the caller may have gone
        self._ctx.tasks.start("attempts to sign in", work, restart=False).add_done_callback(ended)
        return await asyncio.shield(outcome)

    async def _reserve(self, attempt: LoginAttempt) -> None:
        while True:
            wait = max(self._wait(subject) for subject in attempt.subjects)
            if wait > 0:
                raise _locked(wait)
            if all(self._working.get(subject, 0) < self._room(subject) for subject in attempt.subjects):
                break
            if self._waiting[attempt.known] >= _MOST_WAITING:
                raise _locked(1)
            self._waiting[attempt.known] += 1
            try:
                await self._ended.wait()
            finally:
                self._waiting[attempt.known] -= 1
        for subject in attempt.subjects:
            self._working[subject] = self._working.get(subject, 0) + 1

    def _release(self, attempt: LoginAttempt) -> None:
        for subject in attempt.subjects:
            self._working[subject] -= 1
            if not self._working[subject]:
                del self._working[subject]
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()

    def failed(self, db: Db, attempt: LoginAttempt) -> None:
        """Count a failure, in the transaction in hand."""
        now = self._ctx.clock.now()
        counted: dict[str, tuple[int, datetime]] = {}
        for subject in attempt.subjects:
            row = db.get(Lockout, subject)
            before = 0 if row is None or now - row.failed_at > _FORGET else int(row.failures)
            counted[subject] = (before + 1, now)
            db.merge(Lockout(subject=subject, failures=counted[subject][0], failed_at=now))
        self._ctx.db.after_commit(db, lambda: self._failures.update(counted))

    def failed_unstored(self, attempt: LoginAttempt) -> None:
        """Count a failure that the database could not take: an attacker gains nothing by a full disk."""
        now = self._ctx.clock.now()
        for subject in attempt.subjects:
            self._failures[subject] = (self._failures.get(subject, (0, now))[0] + 1, now)

    def succeeded(self, db: Db, attempt: LoginAttempt) -> None:
        """Forget an account's failures, there and in the count of the address, which becomes a known one.

        Other accounts' failures from the address stay: whoever has an account of their own cannot clear them by it.
        """
        row = db.get(Lockout, attempt.account)
        if row is not None:
            self._deduct(db, attempt.address, int(row.failures))
            db.delete(row)
            self._ctx.db.after_commit(db, lambda: self._clear(attempt.account))
        if attempt.user_id is not None and attempt.share is not None:
            self._remember(db, attempt.user_id, attempt.share)

    def forgive_signed_in(self, db: Db, username: str) -> None:
        """Delete the failures of a signed-in user, in the current transaction."""
        subject = f"known:{username[:64]}|signed-in"
        db.execute(delete(Lockout).where(Lockout.__table__.c.subject == subject))
        self._ctx.db.after_commit(db, lambda: self._clear(subject))

    def forget_user(self, db: Db, user_id: str) -> None:
        """Forget the known addresses of a user, in the transaction in hand."""
        db.execute(delete(KnownAddress).where(KnownAddress.__table__.c.user_id == user_id))

        def mirror() -> None:
            self._known.pop(user_id, None)

        self._ctx.db.after_commit(db, mirror)

    async def purge(self) -> None:
        """Forget failures that are a day old, and addresses that were not seen for 90 days."""
        now = self._ctx.clock.now()
        failed, seen = now - _FORGET, now - _KNOWN_FOR

        def remove(db: Db) -> None:
            db.execute(delete(Lockout).where(Lockout.__table__.c.failed_at < failed))
            db.execute(delete(KnownAddress).where(KnownAddress.__table__.c.seen_at < seen))

        await self._ctx.db.write(remove)
        self._failures = {subject: entry for subject, entry in self._failures.items() if entry[1] >= failed}
        for places in self._known.values():
            for share in [share for share, at in places.items() if at < seen]:
                del places[share]

    def _of(self, user_id: str | None, username: str, address: str | None, *, signed_in: bool) -> LoginAttempt:
        share = address_share(address) if address else None
        known = signed_in or (user_id is not None and share in self._known.get(user_id, {}))
        place = "signed-in" if signed_in else share
        account = f"known:{username[:64]}|{place}" if known else f"user:{username[:64]}"
        return LoginAttempt(user_id, account, f"address:{share}" if share and not known else None, share, known)

    def _clear(self, subject: str) -> None:
        self._failures.pop(subject, None)

    def _deduct(self, db: Db, subject: str | None, failures: int) -> None:
        row = db.get(Lockout, subject) if subject is not None else None
        if row is None or subject is None:
            return
        left = max(0, row.failures - failures)
        entry = (left, row.failed_at)
        if left:
            row.failures = left
            db.add(row)
        else:
            db.delete(row)
        self._ctx.db.after_commit(db, lambda: self._failures.update({subject: entry}))

    def _remember(self, db: Db, user_id: str, share: str) -> None:
        now = self._ctx.clock.now()
        table = KnownAddress.__table__
        db.merge(KnownAddress(user_id=user_id, share=share, seen_at=now))
        db.flush()
        rows = db.exec(select(KnownAddress).where(table.c.user_id == user_id)).all()
        places = {row.share: row.seen_at for row in rows}
        oldest = sorted(places, key=lambda place: places[place])[: max(0, len(places) - _MOST_KNOWN)]
        if oldest:
            db.execute(delete(KnownAddress).where(table.c.user_id == user_id, table.c.share.in_(oldest)))

        def mirror() -> None:
            held = self._known.setdefault(user_id, {})
            held[share] = now
            for place in oldest:
                held.pop(place, None)

        self._ctx.db.after_commit(db, mirror)

    def _entry(self, subject: str) -> tuple[int, datetime]:
        now = self._ctx.clock.now()
        count, at = self._failures.get(subject, (0, now))
        return (0, now) if now - at > _FORGET else (count, at)

    def _room(self, subject: str) -> int:
        """Return how many attempts may be under way: as many as may fail before the lock, and one when it is over."""
        free, _ = self._limits[subject.partition(":")[0]]
        return max(1, int(free) - self._entry(subject)[0])

    def _wait(self, subject: str) -> float:
        count, at = self._entry(subject)
        free, longest = self._limits[subject.partition(":")[0]]
        if count < free:
            return 0.0
        locked: float = min(longest, _FIRST * 2.0 ** min(count - free, 20))
        return locked - (self._ctx.clock.now() - at).total_seconds()


def _locked(wait: float) -> TooManyRequests:
    message = "Too many failed attempts; wait before you try again."
    return TooManyRequests(message, code="locked_out", retry_after=math.ceil(wait))
