"""The memory's own tools, resources and prompts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudos_sdk import Context
from cloudos_sdk.capabilities.mcp import McpParts, McpSource

from cloudos_memory.keys.cache import KeyCache
from cloudos_memory.tools.idempotency import IdempotentCalls
from cloudos_memory.tools.links import LinkTools
from cloudos_memory.tools.prompts import Prompts
from cloudos_memory.tools.read import ReadTools
from cloudos_memory.tools.resources import Resources
from cloudos_memory.tools.scope import KeyScope
from cloudos_memory.tools.write import WriteTools


@asynccontextmanager
async def offering_memory(ctx: Context) -> AsyncIterator[None]:
    """Offer the memory by MCP."""
    reach, once = KeyScope(ctx, ctx.use(KeyCache)), IdempotentCalls(ctx)
    reading = ReadTools(ctx, reach)
    resources = Resources(reach, reading)
    tools = (*WriteTools(reach, once).tools(), *reading.tools(), *LinkTools(reach, once).tools())
    prompts = Prompts(ctx, reach, reading, resources).prompts()
    ctx.provide(McpSource, McpParts(ctx, tools, resources.resources(), prompts))
    ctx.provide(IdempotentCalls, once)
    yield
