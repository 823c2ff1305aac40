"""A node with webhooks and a plugin that makes events."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType

from cloudos_sdk import Event, Manifest
from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True, kw_only=True)
class ThingMade(Event, type="thing.made"):
    """A thing was made."""


@dataclass(frozen=True, kw_only=True)
class ThingLost(Event, type="thing.lost"):
    """A thing was lost."""


def things() -> ModuleType:
    module = ModuleType("things")
    module.manifest = Manifest(title="Things", emits=(ThingMade, ThingLost))
    return module


async def until(condition, seconds=10):
    """Wait for a condition, which may be a coroutine function."""
    end = time.monotonic() + seconds
    while True:
        met = condition()
        if asyncio.iscoroutine(met):
            met = await met
        if met:
            return met
        assert time.monotonic() < end, "it did not come about in time"
        await asyncio.sleep(0.01)


def verify(secret, request):
    """Verify a request by the library, at the time that it claims; return its body."""
    webhook = Webhook(secret)
    now = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    signed = webhook.sign(request.headers["webhook-id"], now, request.body.decode())
    assert signed in request.headers["webhook-signature"].split(" ")
    return request.body


class Node:
    """A running host with webhooks, and what a test does to it."""

    Made = ThingMade
    Lost = ThingLost

    def __init__(self, running) -> None:
        self.running = running

    @property
    def client(self):
        """The admin's client."""
        return self.running.client

    async def ask(self, method, path, status=200, client=None, **kwargs):
        """Ask the API below /api/webhooks."""
        answer = await (client or self.client).request(method, f"/api/webhooks{path}", **kwargs)
        body = await answer.get_json(silent=True)
        assert answer.status_code == status, (answer.status_code, body)
        return body

    async def create(self, url, *events, status=201, **more):
        """Make a webhook; for all events where none are named."""
        return await self.ask("POST", "", status, json={"url": url, "events": list(events) or ["*"], **more})

    async def get(self, hook):
        """Return a webhook as it is now."""
        return await self.ask("GET", f"/{hook['id']}")

    async def deliveries(self, hook, query=""):
        """List a webhook's deliveries."""
        return await self.ask("GET", f"/{hook['id']}/deliveries{query}")

    async def emit(self, *ids, event=ThingMade):
        """Emit an event for each id in one transaction; return their ids."""
        ctx = self.running.ctx("things")

        def emit(session):
            return [ctx.events.emit(session, event(resource=id, details=f"It is {id}")) for id in ids]

        return await ctx.db.write(emit)

    async def restart(self):
        """Stop the host and start it on the same data."""
        await self.running.restart()

    async def state(self, hook, state, count=1):
        """Wait until so many deliveries have a state; return them."""

        async def there():
            found = [d for d in await self.deliveries(hook, "?limit=500") if d["state"] == state]
            return found if len(found) >= count else None

        return await until(there)

    async def types(self, prefix="webhook."):
        """Return the types of the events so far."""
        return [event.type for event in await self.running.event_log() if event.type.startswith(prefix)]
