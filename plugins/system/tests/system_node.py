"""A host with the system plugin, and the wait for its sampler."""

from __future__ import annotations

import asyncio
from typing import Any

from cloudos_sdk.capabilities import Metrics


class Node:
    """A host with the system plugin."""

    def __init__(self, host: Any) -> None:
        self.host = host

    @property
    def metrics(self) -> Any:
        """Return what the plugin provides to others."""
        return self.host.ctx("system").use(Metrics)

    async def get(self, path: str, status: int = 200) -> Any:
        """Return the JSON at a path, as a viewer."""
        answer = await self.host.viewer.get(path)
        body = await answer.get_json()
        assert answer.status_code == status, body
        return body

    async def first_tick(self) -> Any:
        """Wait for the reading that is taken at the start."""
        if self.metrics.latest() is None:
            await asyncio.wait_for(anext(self.metrics.ticks()), 5)
        return self.metrics.latest()

    async def tick(self, count: int = 1) -> Any:
        """Move the clock by this many readings, each of them taken; return the last."""
        await self.first_tick()
        for _ in range(count):
            following = asyncio.create_task(anext(self.metrics.ticks()))
            await asyncio.sleep(0)
            await self.host.clock.advance(10)
            await asyncio.wait_for(following, 5)
        return self.metrics.latest()

    async def history(self, query: str) -> dict[str, Any]:
        """Return a history with its series by their labels."""
        found = await self.get(f"/api/system/metrics?{query}")
        return found | {"series": {tuple(one["labels"].values()): one for one in found["series"]}}

    async def settled(self) -> None:
        """Wait until all closed minutes are written."""
        from cloudos_system.series.minute_buffer import MinuteBuffer

        minutes = self.host.ctx("system").use(MinuteBuffer)
        for _ in range(500):
            if len(minutes.unwritten()) <= 1:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("closed minutes are never written")
