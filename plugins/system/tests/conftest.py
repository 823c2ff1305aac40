"""A node for each test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from system_node import Node


@pytest.fixture
async def system(cloudos: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Node]]:
    """Run the plugin, beside others."""

    async def run(*others: Any, **settings: Any) -> Node:
        return Node(await cloudos("system", *others, settings={"system": settings}))

    return run
