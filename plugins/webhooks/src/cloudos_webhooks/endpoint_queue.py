"""One endpoint's queue: one delivery at a time, in order, so that a slow endpoint delays nobody but itself.

A delivery that is refused is tried again later and the next ones go on. After some refusals in a row the endpoint is
down: only what was tried before is tried again, when it is due, and what is new keeps its order and waits. Once it
takes something, all that it refused comes at once, then what waited.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from cloudos_sdk import Context

from cloudos_webhooks.bookkeeping import Bookkeeper, Try
from cloudos_webhooks.deliveries import Deliveries, Due, Queue
from cloudos_webhooks.directory import Directory, Hook
from cloudos_webhooks.sending import Outcome, Sender

_PAGE = 32
_UNRECORDED = 256
_DOWN_AFTER = 5
_LONGEST_SLEEP = 600.0  # so that a clock that was set is noticed
_PAUSE = 2.0
_TICK = 0.001  # a clock may wake one a rounding too early


class EndpointQueue:
    """Sends what waits for one webhook, until that is gone."""

    def __init__(
        self,
        webhook_id: str,
        ctx: Context,
        directory: Directory,
        deliveries: Deliveries,
        sender: Sender,
        bookkeeper: Bookkeeper,
    ) -> None:
        self._id = webhook_id
        self._ctx = ctx
        self._directory = directory
        self._deliveries = deliveries
        self._sender = sender
        self._bookkeeper = bookkeeper
        self._wake = asyncio.Event()
        self._refusals = 0
        self._catching_up = False
        self._not_before: datetime | None = None
        self._unrecorded: dict[int, asyncio.Future[None]] = {}
        self._stopping = False

    def wake(self, *, afresh: bool = False) -> None:
        """Look for work now; `afresh` forgets how the endpoint was before."""
        if afresh:
            self._refusals, self._not_before, self._catching_up = 0, None, True
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
                await asyncio.sleep(_PAUSE)

    async def _step(self) -> None:
        now = self._ctx.clock.now()
        if self._hook() is None:
            await self._wake.wait()
        elif self._not_before is not None and now < self._not_before:
            await self._idle(self._not_before)
        else:
            queue = await self._read(now)
            if queue.head:
                await self._send(queue.head)
            else:
                await self._idle(queue.next_due)

    async def _read(self, now: datetime) -> Queue:
        """Return what is to be sent now, without what was sent and is not recorded yet."""
        down = self._refusals >= _DOWN_AFTER
        if down or len(self._unrecorded) > _UNRECORDED:
            await self._recorded()
        sent = set(self._unrecorded)
        before, self._catching_up = (None if self._catching_up else now), False
        queue = await self._deliveries.queue(self._id, before, _PAGE + len(sent), fresh=not down)
        head = [due for due in queue.head if due.seq not in sent]
        if head:
            return Queue(head[: 1 if down else _PAGE], None)
        if sent:
            await self._recorded()
            return await self._read(now)
        if down and queue.next_due is None:
            self._refusals = _DOWN_AFTER - 1  # nothing is left to be tried again: the oldest new one is the probe
            return await self._read(now)
        return queue

    async def _recorded(self) -> None:
        """Wait until all that was sent is recorded."""
        if self._unrecorded:
            await asyncio.wait(set(self._unrecorded.values()))

    async def _send(self, head: list[Due]) -> None:
        for due in head:
            hook = self._hook()
            if hook is None or self._stopping:
                return
            outcome = await self._try(hook, due)
            if outcome.delivered:
                was_down, self._refusals = self._refusals >= _DOWN_AFTER, 0
                if was_down:
                    await self._recorded()
                    self._catching_up = True
                    return
                continue
            self._refusals += 1
            if outcome.retry_after is not None:
                self._not_before = self._ctx.clock.now() + timedelta(seconds=outcome.retry_after)
            if outcome.gone or outcome.retry_after is not None or self._refusals >= _DOWN_AFTER:
                await self._recorded()
                return

    async def _try(self, hook: Hook, due: Due) -> Outcome:
        at = self._ctx.clock.now()
        outcome = await self._sender.post(hook.url, hook.signer.headers(due.event_id, at, due.body), due.body.encode())
        stored = self._bookkeeper.note(Try(due.seq, hook.id, at, outcome))
        self._unrecorded[due.seq] = stored
        stored.add_done_callback(lambda _: self._unrecorded.pop(due.seq, None))
        return outcome

    async def _idle(self, until: datetime | None) -> None:
        """Wait until there is something new, or until `until`."""
        if until is None:
            await self._wake.wait()
            return
        seconds = (until - self._ctx.clock.now()).total_seconds()
        waits = [
            asyncio.ensure_future(self._wake.wait()),
            asyncio.ensure_future(self._ctx.clock.sleep(min(_LONGEST_SLEEP, max(0.0, seconds) + _TICK))),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _hook(self) -> Hook | None:
        """Return the webhook where it is sent to now."""
        hook = self._directory.get(self._id)
        return hook if hook is not None and hook.sends else None
