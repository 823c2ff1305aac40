"""Caddy's log holds nothing by which somebody could sign in, whoever leaves in the middle of what."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

SAID = {
    "Authorization": "Bearer viewer",
    "X-CSRF-Token": "hush-csrf",
    "Cookie": "cloudos_access=hush-session; a=hush-cookie",
    "X-Anything": "hush-header",
}


async def leave(node, hostname, path):
    """Open a stream and hang up in the middle of it."""
    url = f"http://127.0.0.1:{node.http_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Host": hostname, **SAID}) as answer:
        assert (await answer.content.readline()) == b"data: 0\n"


async def leave_channel(node, hostname):
    """Open a WebSocket and hang up without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    said = {**SAID, "Host": hostname, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    said["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    lines = [f"{name}: {value}" for name, value in said.items()]
    writer.write("\r\n".join(["GET /ws?token=hush-query HTTP/1.1", *lines, "", ""]).encode())
    assert b"101" in await reader.readline()
    writer.transport.abort()


@pytest.mark.parametrize("gated", [False, True])
async def test_no_header_of_a_visitor_or_a_route_is_in_any_log(door_node, backend, gated):
    app, api = await backend("app"), await backend("api")
    node = await door_node(api_addr=api.addr)  # what Caddy takes for the node tells a stream too
    status, _ = await node.call("POST", "/api/proxy/routes", {"hostname": "node.cloud.test", "upstream_type": "ui"})
    assert status == 201
    secret = {"X-Api-Key": "hush-key", "Authorization": "Bearer hush-upstream"}
    await node.route("a.cloud.test", app.addr, request_headers=secret, require_auth=gated)
    assert (await node.apply())["errors"] == []
    folder = node.host.ctx("proxy").data_dir
    key = await key_of(node, api)
    for hostname in ("node.cloud.test", "a.cloud.test"):
        await leave(node, hostname, "/ticks?token=hush-query")
        await leave_channel(node, hostname)

    def told():
        return (folder / "caddy.log").read_text().count("aborting with incomplete response") >= 2

    await node.until(told)
    await asyncio.gather(app.stop(), api.stop())  # an upstream that is away is told of too
    for hostname in ("node.cloud.test", "a.cloud.test"):
        assert (await node.visit(hostname, "/x?token=hush-query", headers=SAID)).status == 502
    await node.host.stop()
    logs = [path for path in folder.rglob("*") if path.is_file() and ".log" in path.name]
    assert {path.name for path in logs} >= {"caddy.log", "caddy-start.log"}
    for path in logs:
        text = path.read_text()
        assert "hush" not in text and key not in text, path.name
    assert '"uri":"/ticks?"' in (folder / "caddy.log").read_text(), "what was asked for is told all the same"


async def key_of(node, api):
    """Return the key that the node is told by its Caddy."""
    await node.visit("node.cloud.test", "/seen")
    return api.seen[-1].headers["X-Cloudos-Proxy"]
