"""Sends pending notifications: each channel by itself, oldest first, until delivered or expired.

A message is marked as sent after the far side took it, so a host that dies in between sends it twice, never not at all.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from cloudos_sdk import Context, DatabaseUnavailable, Health, iso
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from cloudos_alerts.channel_types import TYPES, ChannelConfig
from cloudos_alerts.events import AlertChannelFailed, AlertChannelRecovered
from cloudos_alerts.models import Channel, Notification
from cloudos_alerts.notify.apprise_adapter import Message, SendResult
from cloudos_alerts.notify.sender_processes import SenderProcesses

CHANNEL = Channel.__table__
NOTIFICATION = Notification.__table__
_FAILING_AFTER = 3
_FIRST_WAIT, _GROWTH, _LONGEST_WAIT = 10.0, 3.0, 3600.0
_QUOTE = "It said: "
_SLOWER, _SLOWER_WAIT = 429, 30.0
_STOP_WAIT = 5.0
_PAUSE = 5.0


@dataclass(frozen=True)
class ChannelTrouble:
    """The trouble of a channel, and when it was last seen."""

    name: str
    error: str
    at: datetime


class NotificationOutbox:
    """The queue of notifications and its sender."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.couriers = SenderProcesses(ctx.settings.send_seconds)
        self._slow: set[str] = set()
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._closing = False
        self.failing: dict[str, ChannelTrouble] = {}

    def wake(self) -> None:
        """Check the pending notifications now."""
        self._wake.set()

    async def load(self) -> None:
        """Remember which channels failed when the host stopped."""
        for row in await self._ctx.db.read(lambda s: s.execute(select(CHANNEL).where(CHANNEL.c.failing)).all()):
            error = own_words(row.last_error or "")
            self.failing[row.id] = ChannelTrouble(row.name, error, row.last_error_at or row.updated_at)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._wake.clear()
            try:
                wait = await self._dispatch()
            except (SQLAlchemyError, DatabaseUnavailable) as error:
                self._ctx.log.warning("what waits to be sent cannot be read", error=str(error))
                wait = _PAUSE
            await self._rest(wait)

    async def close(self) -> None:
        """Wait some seconds for running deliveries."""
        self._closing = True
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=_STOP_WAIT)
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.couriers.close()

    def health(self) -> Health:
        """Name the channels that fail."""
        told = [f"{t.name} failed at {iso(t.at)}: {t.error}" for t in self.failing.values()]
        return Health(not told, "Notifications are not delivered. " + " ".join(told) if told else "")

    async def _dispatch(self) -> float | None:
        """Start due deliveries; return the seconds until the next, or None."""
        waiting = select(NOTIFICATION.c.channel_id).where(NOTIFICATION.c.state == "waiting").distinct()
        statement = select(CHANNEL.c.id, CHANNEL.c.retry_at).where(CHANNEL.c.id.in_(waiting))
        rows = await self._ctx.db.read(lambda s: s.execute(statement).all())
        wait, now = None, self._ctx.clock.now()
        for row in rows:
            left = _left(row.retry_at, now)
            if row.id in self._busy:
                continue
            if left:
                wait = left if wait is None else min(wait, left)
            elif not self._closing:
                self._busy[row.id] = asyncio.create_task(self._drain(row.id), name="alerts:send")
        return wait

    async def _rest(self, seconds: float | None) -> None:
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self._wake.wait())]
        if seconds is not None:
            tasks.append(asyncio.create_task(self._ctx.clock.sleep(seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _drain(self, channel_id: str) -> None:
        """Send the pending notifications of one channel until one fails."""
        try:
            while not self._closing and (found := await self._next(channel_id)) is not None:
                channel, row = found
                delivery = await self._deliver(channel, row)
                await self._record(channel_id, row, delivery)
                if not delivery.delivered:
                    break
        except Exception as error:
            self._ctx.log.error("notifications cannot be sent", channel=channel_id, exc_info=error)
            await self._ctx.clock.sleep(_PAUSE)
        finally:
            del self._busy[channel_id]
            self._wake.set()

    async def _next(self, channel_id: str) -> tuple[Any, Any] | None:
        """Return the channel and its next notification: the oldest of each alert, least tried first."""
        now = self._ctx.clock.now()
        too_old = now - timedelta(hours=self._ctx.settings.give_up_hours)

        def choose(session: Session) -> tuple[Any, Any] | None:
            mine = (NOTIFICATION.c.channel_id == channel_id, NOTIFICATION.c.state == "waiting")
            over = update(NOTIFICATION).where(*mine, NOTIFICATION.c.created_at < too_old)
            session.execute(over.values(state="given_up", done_at=now))
            channel = session.execute(select(CHANNEL).where(CHANNEL.c.id == channel_id)).first()
            first: dict[str, Any] = {}
            for row in session.execute(select(NOTIFICATION).where(*mine).order_by(NOTIFICATION.c.seq).limit(500)):
                first.setdefault(row.alert_id, row)
            if channel is None or not first or _left(channel.retry_at, now):  # it failed since it was found to be due
                return None
            return channel, min(first.values(), key=lambda row: (row.attempts, row.seq))

        return await self._ctx.db.write(choose)

    async def _deliver(self, channel: Any, row: Any) -> SendResult:
        try:
            config = self.config(channel)
        except ValueError:
            return SendResult(
                False, None, None, "The channel's settings cannot be read with this host's key; set them."
            )
        message = Message(row.title, row.body, row.level)
        proven = channel.last_sent_at is not None and not channel.failures
        delivery = await self.couriers.deliver(config, message, slow=channel.id in self._slow, proven=proven)
        self.timed(channel.id, slow=delivery.slow)
        return delivery

    def timed(self, channel_id: str, *, slow: bool) -> None:
        """Remember whether a channel took too long; one that has changed or is gone has not."""
        (self._slow.add if slow else self._slow.discard)(channel_id)

    def forget(self, channel_id: str) -> None:
        """Forget how a channel did that is gone."""
        self.failing.pop(channel_id, None)
        self._slow.discard(channel_id)

    def config(self, channel: Any) -> ChannelConfig:
        """Return a channel's decrypted configuration. Raises ValueError if it cannot be decrypted."""
        return TYPES[channel.type].model_validate(orjson.loads(self._ctx.secrets.decrypt(channel.config)))

    async def _record(self, channel_id: str, row: Any, delivery: SendResult) -> None:
        values: dict[str, Any] = {"attempts": row.attempts + 1, "error": None if delivery.delivered else told(delivery)}
        if delivery.delivered:
            values |= {"state": "sent", "done_at": self._ctx.clock.now()}

        def store(session: Session) -> None:
            session.execute(update(NOTIFICATION).where(NOTIFICATION.c.seq == row.seq).values(**values))
            if delivery.delivered:
                self.succeeded(session, channel_id)
            else:
                self._failed(session, channel_id, delivery)

        await self._ctx.db.write(store)

    def succeeded(self, session: Session, channel_id: str) -> None:
        """Note that a channel delivers, in the transaction in hand; it has recovered if it failed."""
        channel = session.execute(select(CHANNEL).where(CHANNEL.c.id == channel_id)).first()
        if channel is None:
            return
        values = {"failures": 0, "failing": False, "retry_at": None, "last_error": None, "last_error_at": None}
        sent = {"last_sent_at": self._ctx.clock.now()}
        session.execute(update(CHANNEL).where(CHANNEL.c.id == channel_id).values(**values, **sent))
        if channel.failing:
            details = f"The channel {channel.name} delivers again"
            event = AlertChannelRecovered(resource=channel_id, name=channel.name, details=details)
            self._ctx.events.emit(session, event)
        self._ctx.db.after_commit(session, lambda: self._well(channel_id))

    def _failed(self, session: Session, channel_id: str, delivery: SendResult) -> None:
        channel = session.execute(select(CHANNEL).where(CHANNEL.c.id == channel_id)).first()
        if channel is None:
            return
        now, error, slower = self._ctx.clock.now(), told(delivery), delivery.status == _SLOWER
        failures = channel.failures if slower else channel.failures + 1  # who asks for patience is not dead
        failing = channel.failing or failures >= _FAILING_AFTER
        values = {
            "failures": failures,
            "failing": failing,
            "retry_at": now + timedelta(seconds=_SLOWER_WAIT if slower else wait_after(failures)),
            "last_error": error,
            "last_error_at": now,
        }
        session.execute(update(CHANNEL).where(CHANNEL.c.id == channel_id).values(**values))
        if failing and not channel.failing:
            details = f"The channel {channel.name} failed {failures} times in a row: {own_words(error)}"
            event = AlertChannelFailed(resource=channel_id, name=channel.name, error=own_words(error), details=details)
            self._ctx.events.emit(session, event)
        if failing:
            trouble = ChannelTrouble(channel.name, own_words(error), now)
            self._ctx.db.after_commit(session, lambda: self.failing.update({channel_id: trouble}))

    def _well(self, channel_id: str) -> None:
        self.failing.pop(channel_id, None)
        self._wake.set()


def _left(retry_at: datetime | None, now: datetime) -> float:
    """Return the seconds until a channel is tried again; 0 if due, or if the clock was set back."""
    left = (retry_at - now).total_seconds() if retry_at is not None else 0.0
    return left if 0 < left <= 2 * _LONGEST_WAIT else 0.0


def wait_after(failures: int) -> float:
    """Return the seconds until the next try after some failures in a row: 10, 30, 90 … up to an hour, with jitter."""
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * _GROWTH ** min(failures - 1, 20))
    return wait * random.uniform(0.9, 1.1)  # noqa: S311 - jitter


def told(delivery: SendResult) -> str:
    """Return the reason of a failure in one line, ending with the receiver's answer."""
    parts = [delivery.reason or "It was not delivered."]
    if delivery.response:
        parts.append(f"{_QUOTE}{delivery.status} {delivery.response[:200]}")
    return " ".join(parts)


def own_words(error: str) -> str:
    """Return the reason of a failure without the receiver's answer, which may be of any server in this network."""
    return error.partition(f" {_QUOTE}")[0]
