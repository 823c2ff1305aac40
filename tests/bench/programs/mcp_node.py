"""A node with notes, memory and a plugin with one tool; writes an MCP key into a file: `mcp_node.py <data> <file>`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

from cloudos_memory.keys.service import KeyService
from cloudos_memory.schemas import NewKey
from cloudos_sdk import Manifest, Principal, Role, hookimpl
from cloudos_sdk.capabilities import McpParts, McpResult, McpSource, McpTool, PlanSource
from cloudos_sdk.testing.fakes import FakePlanSource, providing

from cloudos_host.cli import server
from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.plugins.discovery import discover, given

DATA, KEY = Path(sys.argv[1]), Path(sys.argv[2])


async def echo(call, arguments):
    return McpResult.text(arguments["text"])


ECHO = McpTool(
    name="echo", title="Echo", description="Echo", arguments={"type": "object"}, run=echo, scope="read_memory"
)


def echo_plugin():
    module = ModuleType("bench")

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        ctx.provide(McpSource, McpParts(ctx, (ECHO,)))
        yield

    module.manifest = Manifest(title="Bench", provides=(McpSource,))
    module.cloudos_lifespan = cloudos_lifespan
    return given("bench", module)


class Node(Host):
    """A host of these plugins, which makes a key once it is up."""

    def __init__(self, config, **options):
        found = [f for f in discover() if f.id in ("notes", "memory")]
        plan = given("plan", providing(PlanSource, FakePlanSource("enterprise")))
        super().__init__(config, found=[*found, echo_plugin(), plan])

    async def boot_rest(self):
        await super().boot_rest()
        keys = self.capabilities.find(KeyService)
        who = Principal("user", "usr_bench", "bench", Role.ADMIN, "usr_bench")
        scopes = ["read_memory", "write_memory"]
        wanted = NewKey(name="bench", scopes=scopes, namespace="work", namespaces_read=["home"])
        key = await keys.create(who, wanted)
        await asyncio.to_thread(KEY.write_text, key.raw)


def main():
    settings = {"memory": {"embedding": {"backend": "off"}, "keys": {"bcrypt_cost": 4}}}
    config = Config(HostSettings(data_dir=DATA, port=0, required=(), log_level="error"), settings, "the bench")
    run_node(config)


def run_node(config):
    """Serve as `cloudos serve` does."""
    server.Host = Node
    run = server.run(config, safe=False)
    try:
        import uvloop
    except ImportError:
        asyncio.run(run)
    else:
        uvloop.run(run)


if __name__ == "__main__":
    main()
