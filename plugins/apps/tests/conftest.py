"""A node for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from app_node import Node, web_template


@pytest.fixture
def settle() -> float:
    """Return for how many seconds an app without a check must run; an app that ends needs more to show it."""
    return 0.2


@pytest.fixture
async def node(cloudos: Callable[..., Awaitable[Any]], docker_engine: Any, settle: float) -> AsyncIterator[Node]:
    """Run a node on the real engine; at the end nothing of it is left there."""
    settings = {
        "docker_host": docker_engine.host,
        "settle_seconds": settle,
        "health_timeout": 15,
        "stop_seconds": 1,
        "min_free_mb": 1,
        "first_port": 20000 + os.getpid() % 100 * 100,  # two runs on one machine leave each other's ports alone
    }
    found = Node(await cloudos("apps", settings={"apps": settings}), docker_engine)
    found.offer(web_template(docker_engine))
    yield found
    await found.host.stop()
    docker_engine.clean()
