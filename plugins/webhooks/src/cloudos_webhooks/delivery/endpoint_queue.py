"""The queue of one endpoint: one delivery at a time, in order, so that a slow endpoint delays no other.

A delivery that is refused is tried again later and the next ones go on. After some refusals in a row the endpoint is
down: only what was tried before is tried again, when it is due, and what is new keeps its order and waits. Once it
takes something, all that it refused comes at once, then what waited.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from cloudos_sdk import Context

from cloudos_webhooks.delivery.attempt_results import AttemptResults, DeliveryTry
from cloudos_webhooks.delivery.backlog import Backlog
from cloudos_webhooks.delivery.sender import LONGEST_WAIT, AttemptOutcome, Sender
from cloudos_webhooks.delivery.store import Deliveries, DueDelivery
from cloudos_webhooks.subscription_cache import Subscription, SubscriptionCache

_UNRECORDED = 256
_DOWN_AFTER = 5
_LONGEST_SLEEP = 600.0  # so that a clock that was set is noticed
_TICK = 0.001  # a clock may wake one a rounding too early
_PAUSE = 2.0
_LONGEST_WAIT = timedelta(seconds=LONGEST_WAIT)


class EndpointQueue:
    """Sends the deliveries of one webhook until it is deleted."""

    def __init__(
        self,
        webhook_id: str,
        ctx: Context,
        directory: SubscriptionCache,
        deliveries: Deliveries,
        sender: Sender,
        bookkeeper: AttemptResults,
    ) -> None:
        self._id = webhook_id
        self._ctx = ctx
        self._directory = directory
        self._backlog = Backlog(webhook_id, deliveries)
        self._sender = sender
        self._bookkeeper = bookkeeper
        self._wake = asyncio.Event()
        self._refusals = 0
        self._not_before: datetime | None = None
        self._unrecorded: set[int] = set()
        self._progress = asyncio.Event()
        self._stopping = False

    def offer(self, due: DueDelivery | None) -> None:
        """Take a new delivery; None is one that has to be read from the database."""
        if due is None:
            self._backlog.reread()
        else:
            self._backlog.offer(due)
        self._wake.set()

    def begin_afresh(self) -> None:
        """Forget how the endpoint was before: it was changed or mended."""
        self._refusals, self._not_before = 0, None
        self._backlog.reread(all=True)
        self._wake.set()

    def stop(self) -> None:
        """End after the try that is under way."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Send until the webhook is gone or the queue is stopped."""
        while not self._stopping and self._directory.get(self._id) is not None:
            self._wake.clear()
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001 - a queue goes on for as long as its webhook is there
                self._ctx.log.warning("a queue pauses", webhook=self._id, error=str(error))
                self._backlog.reread()
                await asyncio.sleep(_PAUSE)

    async def _step(self) -> None:
        now = self._ctx.clock.now()
        if self._hook() is None:
            await self._wake.wait()
        elif self._not_before is not None and timedelta(0) < self._not_before - now <= _LONGEST_WAIT:
            await self._idle(self._not_before)
        elif head := await self._next(now):
            await self._send(head)
        elif self._refusals < _DOWN_AFTER and self._backlog.unread:
            await self._recorded()
        else:
            await self._idle(self._backlog.next_due)

    async def _next(self, now: datetime) -> list[DueDelivery]:
        """Return the next delivery; for a failing endpoint, a retry."""
        down = self._refusals >= _DOWN_AFTER
        if down or len(self._unrecorded) > _UNRECORDED:
            await self._recorded()
        head = await self._backlog.next(now, self._unrecorded, only_refused=down)
        if down and not head and self._backlog.next_due is None:
            self._refusals = _DOWN_AFTER - 1  # nothing is left to be tried again: the oldest new one is the probe
        return head[:1] if down else head

    async def _send(self, head: list[DueDelivery]) -> None:
        """Send one after the other, for as long as that makes sense."""
        for due in head:
            hook = self._hook()
            if hook is None or self._stopping:
                break
            was_down = self._refusals >= _DOWN_AFTER
            outcome = await self._try(hook, due)
            self._refusals = 0 if outcome.delivered else self._refusals + 1
            if outcome.retry_after is not None and not outcome.delivered:
                self._not_before = self._ctx.clock.now() + timedelta(seconds=outcome.retry_after)
                break
            if outcome.delivered and was_down:
                await self._recorded()
                self._backlog.reread(all=True)
            if outcome.gone or self._refusals >= _DOWN_AFTER:
                break
        else:
            return
        await self._recorded()
        self._backlog.reread()  # the rest of the head was not tried

    async def _try(self, hook: Subscription, due: DueDelivery) -> AttemptOutcome:
        at = self._ctx.clock.now()
        outcome = await self._sender.post(hook.url, hook.signer.headers(due.event_id, at, due.body), due.body.encode())
        self._backlog.tried(due)
        self._unrecorded.add(due.seq)

        def stored() -> None:
            self._unrecorded.discard(due.seq)
            self._progress.set()
            if not outcome.delivered:  # now it is known when it is due again
                self._backlog.refused()
                self._wake.set()

        self._bookkeeper.note(DeliveryTry(due.seq, hook.id, at, outcome, due), stored)
        return outcome

    async def _recorded(self) -> None:
        """Wait until all that was sent is recorded."""
        while self._unrecorded:
            self._progress.clear()
            self._bookkeeper.hurry()
            await self._progress.wait()

    async def _idle(self, until: datetime | None) -> None:
        """Wait for new deliveries, or until `until`."""
        if until is None:
            await self._wake.wait()
            return
        seconds = (until - self._ctx.clock.now()).total_seconds()
        if seconds <= 0:
            return
        waits = [
            asyncio.ensure_future(self._wake.wait()),
            asyncio.ensure_future(self._ctx.clock.sleep(min(_LONGEST_SLEEP, seconds + _TICK))),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _hook(self) -> Subscription | None:
        """Return the webhook if it is active."""
        hook = self._directory.get(self._id)
        return hook if hook is not None and hook.sends else None
