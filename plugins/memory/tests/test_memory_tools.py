"""What a client does with its memory, over a real port with the official client."""

from __future__ import annotations

from mcp_node import ALL, data, failure


async def test_a_client_remembers_and_finds_it_again(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        made = data(
            await client.call_tool("memory_create", {"content": "Incident\n\nThe disk of node-01 was full. #urgent"})
        )
        found = data(await client.call_tool("memory_search", {"query": "disk full"}))
    assert made["memory"]["title"] == "Incident"
    assert set(made["memory"]["tags"]) == {"mcp", "memory", "claude-desktop", "ns/work", "urgent"}
    assert made["memory"]["source"] == "mcp" and made["memory"]["client"] == "claude-desktop"
    assert found["results"][0]["id"] == made["memory"]["id"]
    assert "text" in found["results"][0]["matched"]
