"""What this plugin itself adds to the MCP server: the tools, resources and prompts of the memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudos_sdk import Context
from cloudos_sdk.capabilities.mcp import McpParts, McpSource

from cloudos_memory.keyring import KeyRing
from cloudos_memory.once import Once
from cloudos_memory.reach import Reach
from cloudos_memory.tools.linking import Linking
from cloudos_memory.tools.prompts import Prompts
from cloudos_memory.tools.reading import Reading
from cloudos_memory.tools.resources import Resources
from cloudos_memory.tools.writing import Writing


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
