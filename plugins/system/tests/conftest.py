"""A node for each test, and the wait for its sampler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cloudos_sdk.capabilities import Metrics


class Node:
    """A host with the system plugin."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.client, self.viewer, self.anonymous = host.client, host.viewer, host.anonymous

    @property
    def metrics(self) -> Any:
        """Return what the plugin provides to others."""
        return self.host.ctx("system").use(Metrics)

    async def get(self, path: str, status: int = 200) -> Any:
        """Return the JSON at a path."""
        answer = await self.viewer.get(path)
        body = await answer.get_json()
        assert answer.status_code == status, body
        return body

    async def first_tick(self) -> Any:
        """Wait for the reading that is taken at the start."""
        async with asyncio.timeout(5):
            while (tick := self.metrics.latest()) is None:
                await asyncio.sleep(0.01)
        return tick

    async def tick(self, count: int = 1) -> Any:
        """Move the clock by this many readings, each taken; return the last."""
        before = await self.first_tick()
        for _ in range(count):
            await self.host.clock.advance(10)
            async with asyncio.timeout(5):
                while self.metrics.latest() is before:
                    await asyncio.sleep(0.002)
            before = self.metrics.latest()
        return before

    async def restart(self) -> None:
        """Stop the host and start it on the same data; the clock goes on."""
        await self.host.restart()
        self.client, self.viewer, self.anonymous = self.host.client, self.host.viewer, self.host.anonymous


@pytest.fixture
async def system(cloudos: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Node]]:
    """Run the plugin, beside others."""

    async def run(*others: Any, **settings: Any) -> Node:
        return Node(await cloudos("system", *others, settings={"system": settings}))

    return run
