"""What this plugin itself adds to the MCP server: the tools, resources and prompts of the memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudos_sdk import Context
from cloudos_sdk.capabilities.mcp import McpParts, McpSource

from cloudos_memory.keys.cache import KeyRing
from cloudos_memory.tools.idempotency import Once
from cloudos_memory.tools.links import Linking
from cloudos_memory.tools.prompts import Prompts
from cloudos_memory.tools.read import Reading
from cloudos_memory.tools.resources import Resources
from cloudos_memory.tools.scope import Reach
from cloudos_memory.tools.write import Writing


@asynccontextmanager
async def offering_memory(ctx: Context) -> AsyncIterator[None]:
    """Offer the memory by MCP."""
    reach, once = Reach(ctx, ctx.use(KeyRing)), Once(ctx)
    reading = Reading(ctx, reach)
    resources = Resources(reach, reading)
    tools = (*Writing(reach, once).tools(), *reading.tools(), *Linking(reach, once).tools())
    prompts = Prompts(ctx, reach, reading, resources).prompts()
    ctx.provide(McpSource, McpParts(ctx, tools, resources.resources(), prompts))
    ctx.provide(Once, once)
    yield
