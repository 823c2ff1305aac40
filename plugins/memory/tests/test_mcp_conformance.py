"""Clients that others wrote: the conformance suite, the TypeScript SDK, the Inspector."""

from __future__ import annotations

import json

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
