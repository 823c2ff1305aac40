"""Reads all events and stores a delivery for each subscribed webhook before the cursor moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from cloudos_sdk import Context, DatabaseUnavailable, Envelope, iso
from sqlalchemy.exc import SQLAlchemyError

from cloudos_webhooks.delivery.queues import DeliveryQueues
from cloudos_webhooks.delivery.store import Deliveries, new_row
from cloudos_webhooks.subscription_cache import SubscriptionCache

_LONGEST_WAIT = 30.0


def message(id: str, type: str, timestamp: str, data: Any) -> str:
    """Return the body of a delivery: the contract's, "Events"."""
    return orjson.dumps({"id": id, "type": type, "timestamp": timestamp, "data": data}).decode()


class EventConsumer:
    """Reads all events. Retries for ever; never skips an event."""

    def __init__(
        self, ctx: Context, directory: SubscriptionCache, deliveries: Deliveries, dispatcher: DeliveryQueues
    ) -> None:
        self._ctx = ctx
        self._directory = directory
        self._deliveries = deliveries
        self._dispatcher = dispatcher
        self.trouble: str | None = None

    async def handle(self, events: Sequence[Envelope]) -> None:
        """Write one delivery for each webhook that wants one of the events, once however often they come."""
        rows = []
        for event in events:
            hooks = self._directory.wanting(event.type)
            if hooks:
                body = message(event.id, event.type, iso(event.time), dict(event.data))
                now = self._ctx.clock.now()
                rows += [new_row(hook.id, event.id, event.type, body, now) for hook in hooks]
        if not rows:
            return
        wait = 0.2
        while True:
            try:
                added = await self._ctx.db.write(lambda session: self._deliveries.add(session, rows))
            except (SQLAlchemyError, DatabaseUnavailable) as error:
                self.trouble = f"event {rows[0]['event_id']} cannot be written down: {type(error).__name__}"
                self._ctx.log.warning("deliveries cannot be written", event_id=rows[0]["event_id"], error=str(error))
                await self._ctx.clock.sleep(wait)
                wait = min(_LONGEST_WAIT, wait * 2)
            else:
                break
        self.trouble = None
        for row, due in zip(rows, added, strict=True):
            self._dispatcher.offer(row["webhook_id"], due)
