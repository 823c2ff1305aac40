"""Clients that others wrote: the conformance suite, the TypeScript SDK, the Inspector's command line."""

from __future__ import annotations

import json

import pytest
from conformance_parts import schema_plugin, test_plugin


async def test_every_server_scenario_of_the_conformance_suite_passes(mcp_node, mcp_clients, adding_bearer, tmp_path):
    node = await mcp_node(test_plugin(), schema_plugin())
    url = adding_bearer(node.url, await node.bearer())
    suite = mcp_clients.path("conformance") / "dist" / "index.js"
    arguments = ("server", "--url", f"{url}/mcp", "--suite", "all", "--output-dir", tmp_path / "results")
    status, said, errors = await mcp_clients.run(suite, *arguments)
    checks = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("results/*/checks.json")}
    poor = [(name, c) for name, of in checks.items() for c in of if c["status"] not in ("SUCCESS", "INFO")]
    assert not poor, json.dumps(poor, indent=1)
    assert len(checks) == 32, sorted(checks)
    assert status == 0, said[-3000:] + errors[-1000:]


TYPESCRIPT = """
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const [url, bearer, way] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${bearer}` };
const transport = way === "sse"
  ? new SSEClientTransport(new URL(`${url}/mcp/sse`), {
      requestInit: { headers },
      eventSourceInit: { fetch: (to, init) => fetch(to, { ...init, headers: { ...init.headers, ...headers } }) },
    })
  : new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } });
const client = new Client({ name: "typescript", version: "3.2.1" }, { capabilities: {} });
const told = new Promise((resolve) =>
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, (news) => resolve(news.params.uri)));
await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const call = async (name, args) => (await client.callTool({ name, arguments: args })).structuredContent;
const { memory } = await call("memory_create", { content: "Written in TypeScript [[Other]] #ts" });
await client.subscribeResource({ uri: `memory://note/${memory.id}` });
await new Promise((resolve) => setTimeout(resolve, 200));
const other = (await call("memory_create", { content: "Other" })).memory;
await call("memory_update", { id: memory.id, importance: 1 });
const found = (await call("memory_search", { query: "typescript" })).results;
const near = (await call("memory_neighbors", { id: memory.id })).neighbors;
const wrong = await client.callTool({ name: "memory_get", arguments: { id: "nothing" } });
const updated = await Promise.race([told, new Promise((resolve) => setTimeout(() => resolve("nothing"), 3000))]);
console.log(JSON.stringify({
  server: client.getServerVersion().name, tools: tools.length, tags: memory.tags, found: found[0].id === memory.id,
  linked: near.length === 1 && near[0].memory.id === other.id, wrong: wrong.isError,
  updated: updated === `memory://note/${memory.id}`,
}));
await client.close();
"""


@pytest.mark.parametrize("way", ["http", "sse"])
async def test_the_official_typescript_client_works_over_both_transports(mcp_node, mcp_clients, tmp_path, way):
    node = await mcp_node()
    script = tmp_path / "client.mjs"
    script.write_text(TYPESCRIPT)
    (tmp_path / "node_modules").symlink_to(mcp_clients.folder / "node_modules")
    status, said, errors = await mcp_clients.run(script, node.url, await node.bearer(), way, cwd=tmp_path, seconds=60)
    assert status == 0, errors
    seen = json.loads(said)
    assert set(seen.pop("tags")) == {"claude-desktop", "mcp", "memory", "ns/work", "ts"}
    assert seen == {
        "server": "cloudos-memory",
        "tools": 12,
        "found": True,
        "linked": True,
        "wrong": True,
        "updated": True,
    }


async def test_the_inspectors_command_line_lists_and_calls(mcp_node, mcp_clients, adding_bearer):
    node = await mcp_node()
    url = adding_bearer(node.url, await node.bearer())

    async def inspect(*arguments):
        cli = mcp_clients.path("inspector") / "cli" / "build" / "index.js"
        status, said, errors = await mcp_clients.run(cli, f"{url}/mcp", *arguments, seconds=60)
        assert status == 0, errors + said
        return json.loads(said)

    assert len((await inspect("--method", "tools/list"))["tools"]) == 12
    call = ("--method", "tools/call", "--tool-name", "memory_create", "--tool-arg", "content=Inspected")
    made = (await inspect(*call))["structuredContent"]["memory"]
    read = await inspect("--method", "resources/read", "--uri", f"memory://note/{made['id']}")
    assert "Inspected" in read["contents"][0]["text"]
    assert len((await inspect("--method", "prompts/list"))["prompts"]) == 3
