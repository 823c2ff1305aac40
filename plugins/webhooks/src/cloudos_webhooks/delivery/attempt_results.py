"""Writes down how tries went, many in one transaction, and draws the consequences for the endpoint.

An endpoint is failing when a delivery was refused at its last try and nothing else was taken since its first, or when
the receiver said that it is gone (410). One that refuses only some messages is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
from cloudos_sdk import Context, DatabaseUnavailable
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from cloudos_webhooks.delivery import bulk
from cloudos_webhooks.delivery.bulk import Change
from cloudos_webhooks.delivery.sender import AttemptOutcome
from cloudos_webhooks.delivery.store import Deliveries, DueDelivery
from cloudos_webhooks.events import WebhookFailing, WebhookRecovered
from cloudos_webhooks.subscription_cache import TABLE as WEBHOOK
from cloudos_webhooks.subscription_cache import SubscriptionCache

_GATHER = 0.1
_MOST = 500
_KEPT = 50
_SECOND = timedelta(seconds=1)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_TAKEN = update(WEBHOOK).where(WEBHOOK.c.id == bindparam("which")).values(delivered_at=bindparam("when"))


class DeliveryTry(NamedTuple):
    """One attempt of a delivery; `due` is from the queue, None for a manual attempt, which is not counted."""

    seq: int
    webhook_id: str
    at: datetime
    outcome: AttemptOutcome
    due: DueDelivery | None = None


class AttemptResults:
    """Stores attempts in batches, with retries; queues wait until their attempts are stored."""

    def __init__(self, ctx: Context, directory: SubscriptionCache, deliveries: Deliveries) -> None:
        self._ctx = ctx
        self._directory = directory
        self._deliveries = deliveries
        self._delays: Sequence[float] = ctx.settings.retry_seconds
        self._by_hand: set[int] = set()
        self._last: dict[str, datetime] = {}
        self._told: dict[str, datetime] = {}
        self._noted: list[tuple[DeliveryTry, Callable[[], None]]] = []
        self._wake, self._now = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        self.changed: Callable[[str], None] = lambda webhook_id: None

    def start(self) -> None:
        """Start to store attempts."""
        self._task = self._ctx.tasks.start("record of deliveries", self._run)

    async def stop(self) -> None:
        """Store pending attempts and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._noted:
            await self._store(self._noted[:_MOST])

    def note(self, attempt: DeliveryTry, stored: Callable[[], None]) -> None:
        """Note a try and have `stored` called when it is stored."""
        self._noted.append((attempt, stored))
        self._wake.set()

    def hurry(self) -> None:
        """Store pending attempts now, because a caller waits."""
        self._now.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            with contextlib.suppress(TimeoutError):  # one transaction for many
                async with asyncio.timeout(_GATHER):
                    await self._now.wait()
            self._wake.clear()
            self._now.clear()
            try:
                await self._store(self._noted[:_MOST])
                self.trouble = None
            except (SQLAlchemyError, DatabaseUnavailable) as error:
                self.trouble = f"deliveries cannot be recorded: {type(error).__name__}"
                self._ctx.log.warning("deliveries cannot be recorded", error=str(error))
                await asyncio.sleep(2.0)
            if self._noted:
                self._wake.set()

    async def _store(self, noted: list[tuple[DeliveryTry, Callable[[], None]]]) -> None:
        await self._ctx.db.write(lambda session: self._write(session, [attempt for attempt, _ in noted]))
        del self._noted[: len(noted)]
        for _, stored in noted:
            stored()

    def _write(self, session: Session, tries: Sequence[DeliveryTry]) -> None:
        self._by_hand |= {attempt.seq for attempt in tries if attempt.due is None}
        rows = self._deliveries.tried(session, self._by_hand & {attempt.seq for attempt in tries})
        changes: dict[int, Change] = {}
        taken: dict[str, datetime] = {}
        refused: dict[str, tuple[str, datetime | None]] = {}
        for attempt in tries:
            before = changes.get(attempt.seq) or rows.get(attempt.seq)
            if before is None and attempt.due is not None:
                before = {"new_tries": attempt.due.tries, "new_attempts": attempt.due.attempts}
            if before is None:  # it is gone, as is its webhook
                continue
            change = changes[attempt.seq] = self._after(attempt, before)
            if attempt.outcome.delivered:
                taken[attempt.webhook_id] = attempt.at
            elif change["new_state"] == "failed" and attempt.due is not None:
                first = None if attempt.outcome.gone else _first(change["new_attempts"])
                refused[attempt.webhook_id] = (attempt.outcome.error or "", first)
        if changes:
            bulk.change(session, list(changes.values()))
        if taken:
            self._taken(session, taken)
        for webhook_id, (reason, first) in refused.items():
            self._refused(session, webhook_id, reason, first)

    def _after(self, attempt: DeliveryTry, before: Change) -> Change:
        """Return the columns of a delivery after a try."""
        outcome = attempt.outcome
        attempts = orjson.loads(before["new_attempts"])
        entry = {
            "number": attempts[-1]["number"] + 1 if attempts else 1,
            "at": attempt.at.timestamp(),
            "duration_ms": outcome.duration_ms,
            "status": outcome.status,
            "excerpt": outcome.excerpt,
            "error": outcome.error,
        }
        tries = before["new_tries"] + (attempt.due is not None)
        change = {
            "at": attempt.seq,
            "new_tries": tries,
            "new_attempts": orjson.dumps([*attempts, entry][-_KEPT:]).decode(),
            "new_due_at": None,
            "new_settled_at": attempt.at,
        }
        if outcome.delivered:
            return change | {"new_state": "delivered"}
        if attempt.due is None or before.get("new_state") == "delivered":
            return change | {name: before[name] for name in ("new_state", "new_due_at", "new_settled_at")}
        if tries > len(self._delays) or outcome.gone:
            return change | {"new_state": "failed"}
        wait = max(self._delays[tries - 1] * random.uniform(0.9, 1.1), outcome.retry_after or 0.0)  # noqa: S311 - jitter
        due_at = attempt.at + timedelta(seconds=wait)
        return change | {"new_state": "retrying", "new_due_at": due_at, "new_settled_at": None}

    def _taken(self, session: Session, taken: dict[str, datetime]) -> None:
        """Note which endpoints took something, and when; those that were failing have recovered."""
        failing = select(WEBHOOK.c.id).where(WEBHOOK.c.failing_since.is_not(None), WEBHOOK.c.id.in_(taken))
        for webhook_id in session.execute(failing).scalars().all():
            session.execute(update(WEBHOOK).where(WEBHOOK.c.id == webhook_id).values(failing_since=None))
            self._tell(session, webhook_id, None, None)
        told = {id: at for id, at in taken.items() if self._told.get(id, _LONG_AGO) + _SECOND <= at}
        if told:
            session.connection().execute(_TAKEN, [{"which": id, "when": at} for id, at in told.items()])
            self._told |= told
        self._last |= taken

    def _refused(self, session: Session, webhook_id: str, reason: str, first: datetime | None) -> None:
        """Mark an endpoint as failing, unless it took something since `first`."""
        row = session.execute(
            select(WEBHOOK.c.delivered_at, WEBHOOK.c.failing_since).where(WEBHOOK.c.id == webhook_id)
        ).first()
        if row is None or row.failing_since is not None:
            return
        delivered_at = self._last.get(webhook_id, row.delivered_at)
        if first is not None and delivered_at is not None and delivered_at >= first:
            return
        now = self._ctx.clock.now()
        session.execute(update(WEBHOOK).where(WEBHOOK.c.id == webhook_id).values(failing_since=now))
        self._tell(session, webhook_id, now, reason)

    def _tell(self, session: Session, webhook_id: str, failing_since: datetime | None, reason: str | None) -> None:
        hook = self._directory.get(webhook_id)
        host = hook.host if hook is not None else ""
        if reason is None:
            details = f"The webhook to {host} takes deliveries again"
            event: Any = WebhookRecovered(resource=webhook_id, details=details, host=host)
        else:
            details = f"The webhook to {host} is failing: {reason}"
            event = WebhookFailing(resource=webhook_id, details=details, host=host, reason=reason)
        self._ctx.events.emit(session, event)

        def know() -> None:
            self._directory.mark(webhook_id, failing_since)
            self.changed(webhook_id)

        self._ctx.db.after_commit(session, know)


def _first(attempts: str) -> datetime:
    """Return when a delivery was first tried."""
    return datetime.fromtimestamp(orjson.loads(attempts)[0]["at"], UTC)
