"""Writes down how tries went, many in one transaction, and draws the consequences for the endpoint.

An endpoint is failing when a delivery was refused at its last try and nothing else was taken since its first, or when
the receiver said that it is gone (410). One that refuses only some messages is well.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cloudos_sdk import Context
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from cloudos_webhooks.deliveries import Deliveries
from cloudos_webhooks.directory import TABLE as WEBHOOK
from cloudos_webhooks.directory import Directory
from cloudos_webhooks.events import WebhookFailing, WebhookRecovered
from cloudos_webhooks.sending import Outcome

_GATHER = 0.02
_MOST = 500
_KEPT = 50


@dataclass(frozen=True)
class Try:
    """One try of one delivery; `by_hand` is one that somebody asked for, which uses up none of its tries."""

    seq: int
    webhook_id: str
    at: datetime
    outcome: Outcome
    by_hand: bool = False


class Bookkeeper:
    """Takes notes of tries and stores them. What cannot be stored now is stored later: a queue waits meanwhile."""

    def __init__(self, ctx: Context, directory: Directory, deliveries: Deliveries) -> None:
        self._ctx = ctx
        self._directory = directory
        self._deliveries = deliveries
        self._delays: Sequence[float] = ctx.settings.retry_seconds
        self._noted: list[tuple[Try, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        self.changed: Callable[[str], None] = lambda webhook_id: None

    def start(self) -> None:
        """Store from now on what is noted."""
        self._task = asyncio.create_task(self._run(), name="webhooks:bookkeeper")

    async def stop(self) -> None:
        """Store what is noted and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._noted:
            await self._store(self._noted[:_MOST])

    def note(self, attempt: Try) -> asyncio.Future[None]:
        """Note a try; what is returned is done when it is stored."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._noted.append((attempt, stored))
        self._wake.set()
        return stored

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER)  # one transaction for many: the queues need not wait for it
            self._wake.clear()
            while self._noted:
                try:
                    await self._store(self._noted[:_MOST])
                    self.trouble = None
                except SQLAlchemyError as error:
                    self.trouble = f"deliveries cannot be recorded: {type(error).__name__}"
                    self._ctx.log.warning("deliveries cannot be recorded", error=str(error))
                    await asyncio.sleep(2.0)

    async def _store(self, noted: list[tuple[Try, asyncio.Future[None]]]) -> None:
        await self._ctx.db.write(lambda session: self._write(session, [attempt for attempt, _ in noted]))
        del self._noted[: len(noted)]
        for _, stored in noted:
            if not stored.done():
                stored.set_result(None)

    def _write(self, session: Session, tries: Sequence[Try]) -> None:
        rows = self._deliveries.tried(session, {attempt.seq for attempt in tries})
        changes: dict[int, dict[str, Any]] = {}
        taken: dict[str, datetime] = {}
        refused: dict[str, tuple[str, datetime | None]] = {}
        for attempt in tries:
            row = rows.get(attempt.seq)
            if row is None:
                continue
            before = changes.get(attempt.seq) or {f"new_{name}": value for name, value in row._mapping.items()}
            change = changes[attempt.seq] = self._after(attempt, before)
            if attempt.outcome.delivered:
                taken[attempt.webhook_id] = attempt.at
            elif change["new_state"] == "failed" and not attempt.by_hand:
                first = None if attempt.outcome.gone else _first(change["new_attempts"])
                refused[attempt.webhook_id] = (attempt.outcome.error or "", first)
        if changes:
            self._deliveries.store(session, list(changes.values()))
        for webhook_id, at in taken.items():
            self._taken(session, webhook_id, at)
        for webhook_id, (reason, first) in refused.items():
            self._refused(session, webhook_id, reason, first)

    def _after(self, attempt: Try, row: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of a delivery after a try."""
        outcome = attempt.outcome
        entry = {
            "at": attempt.at.timestamp(),
            "duration_ms": outcome.duration_ms,
            "status": outcome.status,
            "excerpt": outcome.excerpt,
            "error": outcome.error,
        }
        attempts = orjson.loads(row["new_attempts"])
        number = attempts[-1]["number"] + 1 if attempts else 1
        change = {
            "at": attempt.seq,
            "new_state": row["new_state"],
            "new_tries": row["new_tries"],
            "new_attempts": orjson.dumps([*attempts, {"number": number, **entry}][-_KEPT:]).decode(),
            "new_due_at": row["new_due_at"],
            "new_settled_at": row["new_settled_at"],
        }
        if outcome.delivered:
            return change | {"new_state": "delivered", "new_due_at": None, "new_settled_at": attempt.at}
        if attempt.by_hand:
            return change
        tries = change["new_tries"] = row["new_tries"] + 1
        if tries > len(self._delays) or outcome.gone:
            return change | {"new_state": "failed", "new_due_at": None, "new_settled_at": attempt.at}
        wait = max(self._delays[tries - 1] * random.uniform(0.9, 1.1), outcome.retry_after or 0.0)  # noqa: S311 - jitter
        return change | {"new_state": "retrying", "new_due_at": attempt.at + timedelta(seconds=wait)}

    def _taken(self, session: Session, webhook_id: str, at: datetime) -> None:
        """Note that an endpoint took something; one that was failing has recovered."""
        table = WEBHOOK
        failing = table.c.failing_since.is_not(None)
        mended = update(table).where(table.c.id == webhook_id, failing).values(failing_since=None)
        if session.connection().execute(mended).rowcount:
            self._tell(session, webhook_id, None, None)
        session.execute(update(table).where(table.c.id == webhook_id).values(delivered_at=at))

    def _refused(self, session: Session, webhook_id: str, reason: str, first: datetime | None) -> None:
        """Mark an endpoint as failing, unless it took something since `first`."""
        row = session.execute(
            select(WEBHOOK.c.delivered_at, WEBHOOK.c.failing_since).where(WEBHOOK.c.id == webhook_id)
        ).first()
        if row is None or row.failing_since is not None:
            return
        if first is not None and row.delivered_at is not None and row.delivered_at >= first:
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
