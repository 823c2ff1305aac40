"""The queues of all webhooks: begins one for each, feeds them, ends them."""

from __future__ import annotations

import asyncio

from cloudos_sdk import Context

from cloudos_webhooks.delivery.attempt_results import AttemptResults
from cloudos_webhooks.delivery.endpoint_queue import EndpointQueue
from cloudos_webhooks.delivery.sender import Sender
from cloudos_webhooks.delivery.store import Deliveries, DueDelivery
from cloudos_webhooks.subscription_cache import SubscriptionCache

_LAST_TRIES = 2.0


class DeliveryQueues:
    """Sends to all webhooks at once, each by its own queue."""

    def __init__(
        self,
        ctx: Context,
        directory: SubscriptionCache,
        deliveries: Deliveries,
        sender: Sender,
        bookkeeper: AttemptResults,
    ) -> None:
        self._ctx = ctx
        self._parts = ctx, directory, deliveries, sender, bookkeeper
        self._directory = directory
        self._bookkeeper = bookkeeper
        self._queues: dict[str, EndpointQueue] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        bookkeeper.changed = self.changed

    def start(self) -> None:
        """Send from now on."""
        self._bookkeeper.start()
        for hook in self._directory.all():
            self._begin(hook.id)

    def offer(self, webhook_id: str, due: DueDelivery | None) -> None:
        """Give a new delivery to its queue; None is one that has to be read from the database."""
        queue = self._queues.get(webhook_id)
        if queue is not None:
            queue.offer(due)

    def changed(self, webhook_id: str) -> None:
        """Take note of a webhook that is new, changed, mended or gone."""
        if webhook_id in self._queues:
            self._queues[webhook_id].begin_afresh()
        elif self._directory.get(webhook_id) is not None:
            self._begin(webhook_id)

    async def stop(self) -> None:
        """End: give the tries that are under way a moment, and record them."""
        for queue in self._queues.values():
            queue.stop()
        tasks = set(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_TRIES)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._bookkeeper.stop()

    def _begin(self, webhook_id: str) -> None:
        queue = self._queues[webhook_id] = EndpointQueue(webhook_id, *self._parts)
        task = self._tasks[webhook_id] = self._ctx.tasks.start(f"queue of {webhook_id}", queue.run)
        task.add_done_callback(lambda _: self._end(webhook_id))

    def _end(self, webhook_id: str) -> None:
        self._queues.pop(webhook_id, None)
        self._tasks.pop(webhook_id, None)
