"""Manual deliveries: tests and repeated deliveries. A success ends an endpoint's failing state."""

from __future__ import annotations

import asyncio
from typing import Any

from cloudos_sdk import Context, NotFound, iso, new_id

from cloudos_webhooks.delivery.attempt_results import AttemptResults, DeliveryTry
from cloudos_webhooks.delivery.event_consumer import message
from cloudos_webhooks.delivery.sender import Sender
from cloudos_webhooks.delivery.store import Deliveries, delivery_id, new_row, shown
from cloudos_webhooks.subscription_cache import Subscription, SubscriptionCache

TEST = "webhook.test"


class ManualDelivery:
    """Sends past the queue, also to a webhook that is inactive or failing."""

    def __init__(
        self,
        ctx: Context,
        directory: SubscriptionCache,
        deliveries: Deliveries,
        sender: Sender,
        bookkeeper: AttemptResults,
    ) -> None:
        self._ctx = ctx
        self._directory = directory
        self._deliveries = deliveries
        self._sender = sender
        self._bookkeeper = bookkeeper

    async def test(self, webhook_id: str) -> dict[str, Any]:
        """Send a message of type `webhook.test` and return how that went. Raises NotFound."""
        hook, now = self._hook(webhook_id), self._ctx.clock.now()
        id = new_id("evt")
        body = message(id, TEST, iso(now), {"resource": hook.id, "details": "A test of this webhook"})
        row = new_row(hook.id, id, TEST, body, now) | {"state": "failed", "settled_at": now}  # the queue has no part
        await self._ctx.db.write(lambda session: self._deliveries.add(session, [row]))
        return await self._send(hook, delivery_id(id))

    async def redeliver(self, webhook_id: str, id: str) -> dict[str, Any]:
        """Send a delivery once more, whatever its state, and return it. Raises NotFound."""
        return await self._send(self._hook(webhook_id), id)

    async def _send(self, hook: Subscription, id: str) -> dict[str, Any]:
        row = await self._deliveries.get(hook.id, id)
        at = self._ctx.clock.now()
        outcome = await self._sender.post(hook.url, hook.signer.headers(row.event_id, at, row.body), row.body.encode())
        stored = asyncio.Event()
        self._bookkeeper.note(DeliveryTry(row.seq, hook.id, at, outcome), stored.set)
        self._bookkeeper.hurry()
        await stored.wait()
        return shown(await self._deliveries.get(hook.id, id))

    def _hook(self, webhook_id: str) -> Subscription:
        hook = self._directory.get(webhook_id)
        if hook is None:
            raise NotFound("webhook", webhook_id)
        return hook
