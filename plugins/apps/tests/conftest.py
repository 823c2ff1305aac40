"""A node for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from app_node import Node, web_template


@pytest.fixture
async def node(cloudos: Callable[..., Awaitable[Any]], docker_engine: Any) -> AsyncIterator[Node]:
    """Run a node on the real engine; at the end nothing of it is left there."""
    settings = {
        "docker_host": docker_engine.host,
        "settle_seconds": 0.5,
        "health_timeout": 15,
        "stop_seconds": 1,
        "min_free_mb": 1,
    }
    found = Node(await cloudos("apps", settings={"apps": settings}), docker_engine)
    found.offer(web_template(docker_engine))
    yield found
    await found.host.stop()
    for listing, remove in (
        (("ps", "-aq", "--filter", "label=cloudos.app"), ("rm", "-f")),
        (("network", "ls", "-q", "--filter", "label=cloudos.app"), ("network", "rm")),
        (("volume", "ls", "-q", "--filter", "label=cloudos.app"), ("volume", "rm", "-f")),
    ):
        if left := docker_engine.names(*listing):
            docker_engine.cli(*remove, *left)
