"""A node for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from cloudos_sdk.capabilities import PlanSource
from cloudos_sdk.testing.fakes import FakePlanSource, providing
from embedding_server import EmbeddingServer, embedding_server
from mcp_node import McpNode
from search_node import SearchNode


@pytest.fixture
def mcp_node(cloudos: Callable[..., Any], served: Callable[[Any], Awaitable[str]]) -> Callable[..., Awaitable[McpNode]]:
    """Run a node behind a real port: `await mcp_node()`, with further plugins, a plan, settings of the server."""

    async def run(*more: Any, plan: str = "enterprise", **server: Any) -> McpNode:
        settings = {
            "memory": {"keys": {"bcrypt_cost": 4}, "server": server, "embedding": {"backend": "off"}},
        }
        source = FakePlanSource(plan)
        host = await cloudos("notes", "memory", providing(PlanSource, source), *more, settings=settings)
        node = McpNode(host, await served(host), served)
        node.plan = source
        return node

    return run


@pytest.fixture
async def embedding() -> AsyncIterator[EmbeddingServer]:
    """Return a running embedding server."""
    async with embedding_server() as server:
        yield server


@pytest.fixture
def search_node(cloudos: Callable[..., Any], embedding: EmbeddingServer) -> Callable[..., Awaitable[SearchNode]]:
    """Run a node that embeds by the loopback server, or as the settings given say."""

    async def run(**settings: Any) -> SearchNode:
        given = {"backend": "ollama", "url": embedding.url, "model": "words", "query_milliseconds": 3000, **settings}
        if given["backend"] == "onnx":
            given = {"backend": "onnx", "query_milliseconds": 3000}
        return SearchNode(await cloudos("notes", "memory", settings={"memory": {"embedding": given}}))

    return run
