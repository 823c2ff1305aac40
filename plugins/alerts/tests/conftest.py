"""A node with alerts and metrics that a test says, and ways to let time pass and to read what came of it."""

from __future__ import annotations

import asyncio

import pytest
from cloudos_alerts.evaluation.engine import RuleEvaluator
from cloudos_sdk.capabilities import Metrics
from cloudos_sdk.testing.fakes import FakeMetrics, providing, sample

CPU = "system.cpu.usage_percent"
HOOK = {"webhook_url": "https://hooks.slack.com/services/T00/B00/xxxx"}


class Node:
    """A running host with alerts, and what a test does to it."""

    def __init__(self, running, metrics) -> None:
        self.running = running
        self.metrics = metrics

    @property
    def clock(self):
        """The time."""
        return self.running.clock

    @property
    def engine(self):
        """The evaluation."""
        return self.running.ctx("alerts").use(RuleEvaluator)

    async def ask(self, method, path, status=200, *, client=None, **kwargs):
        """Send a request and return the JSON of its answer, of the status that is expected."""
        response = await (client or self.running.client).request(method, f"/api/alerts{path}", **kwargs)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {await response.get_data()}"
        return None if status == 204 else await response.get_json()

    async def rule(self, **members):
        """Add a rule on the processor, over 90 at once unless told otherwise; return it."""
        body = {"name": "Busy", "metric": CPU, "condition": "greater_than", "threshold": 90, **members}
        return await self.ask("POST", "/rules", 201, json=body)

    async def channel(self, **members):
        """Add a channel, Slack's unless told otherwise; return it."""
        body = {"name": "Ops", "type": "slack", "config": HOOK, **members}
        return await self.ask("POST", "/channels", 201, json=body)

    async def measure(self, *samples, after=10.0):
        """Let some seconds pass, measure, and wait until that is evaluated; a number is the processor's use."""
        await self.clock.advance(after)
        now = self.clock.now()
        taken = [s if not isinstance(s, int | float) else sample(CPU, s) for s in samples]
        self.metrics.measure(now, *taken)
        await self.until(lambda: self.engine.looked_at == now)
        async with self.engine.lock:
            return

    async def measure_for(self, seconds, *samples):
        """Measure the same every ten seconds."""
        for _ in range(int(seconds // 10)):
            await self.measure(*samples)

    async def state(self, rule):
        """Return the state of a rule."""
        return (await self.ask("GET", f"/rules/{rule['id']}"))["state"]

    async def until(self, true, seconds=10.0):
        """Wait until something is so."""
        async with asyncio.timeout(seconds):
            while True:
                found = true()
                found = await found if asyncio.iscoroutine(found) else found
                if found:
                    return found
                await asyncio.sleep(0.005)

    async def events(self, *types):
        """Return the types of the stored events, of those asked for."""
        return [e.type for e in await self.running.event_log() if not types or e.type in types]

    async def restart(self, *, down=0.0):
        """Stop the host and start it again after some seconds."""
        await self.running.stop()
        self.clock._passed += down
        await self.running.start()
        await self.until(lambda: self.running.state("alerts") == "running")


@pytest.fixture
def alerts(cloudos):
    """Start a node; without the first rules, unless told otherwise."""

    async def start(*others, metrics=True, **settings) -> Node:
        fake = FakeMetrics()
        given = {"default_rules": False, "node_name": "attic", **settings}
        sources = [providing(Metrics, fake)] if metrics else []
        return Node(await cloudos("alerts", *sources, *others, settings={"alerts": given}), fake)

    return start
