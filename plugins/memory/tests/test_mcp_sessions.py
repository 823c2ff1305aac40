"""Sessions: listed while they are open, ended at once by their owner, with their key, or by idling."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager

from cloudos_memory.mcp_server.asgi import RequestEnds
from cloudos_memory.mcp_server.sessions import McpSessions
from conformance_parts import test_plugin
from mcp_node import eventually, rpc

PRINTED = ["id", "client_name", "transport", "ip", "connected_at", "last_active_at"]


@asynccontextmanager
async def stream(node, bearer, path="/mcp", **headers):
    """Open an event stream; yield a task that ends when the stream does."""
    async with node.http(bearer, Accept="text/event-stream", **headers) as http, http.stream("GET", path) as answer:
        assert answer.status_code == 200, await answer.aread()

        async def read():
            async for _ in answer.aiter_bytes():
                pass

        task = asyncio.create_task(read())
        yield task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ends(task):
    async with asyncio.timeout(3):
        await task


async def test_a_session_keeps_nothing_of_the_connection_that_opened_it(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        await client.call_tool("memory_stats", {})
        (session,) = node.host.ctx("memory").use(McpSessions).all()
        held = [ends for ends in gc.get_objects() if isinstance(ends, RequestEnds) and ends._receive is not None]
        assert session.peer is not None, "the library keeps the first request, and what it came by"
        assert len(held) <= len(session.open), "only requests that are being served have a connection"


async def test_a_session_is_listed_as_printed_while_it_is_open(mcp_node):
    node = await mcp_node()
    bearer = await node.bearer()
    async with node.client(bearer) as client:
        await client.call_tool("memory_stats", {})
        (session,) = await node.sessions()
        assert list(session)[:6] == PRINTED
        assert session["transport"] == "streamable-http" and session["ip"] == "127.0.0.1"
        assert session["client_name"] == client.session._client_info.name
        assert session["client_version"] == client.session._client_info.version
        assert session["connected_at"] == "2026-01-01T00:00:00Z"
        before = session["calls"]
        await node.host.clock.advance(1)
        await client.call_tool("memory_stats", {})
        (session,) = await node.sessions()
        assert session["last_active_at"] == "2026-01-01T00:00:01Z"
        assert session["calls"] == before + 1
    await eventually(lambda: _none(node))


async def _none(node):
    return await node.sessions() == []


async def test_the_legacy_transport_is_a_session_too(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer(), sse=True) as client:
        await client.call_tool("memory_stats", {})
        (session,) = await node.sessions()
        assert session["transport"] == "sse"
        assert session["client_name"] == client.session._client_info.name
    await eventually(lambda: _none(node))


async def test_two_clients_are_two_sessions_and_a_restarted_one_is_another(mcp_node):
    node = await mcp_node()
    one, two = await node.bearer(), await node.bearer(client_type="cursor")
    async with node.client(one), node.client(two):
        first = {session["id"] for session in await node.sessions()}
        assert len(first) == 2
    async with node.client(one):
        (session,) = await node.sessions()
        assert session["id"] not in first


async def test_disconnecting_ends_the_stream_at_once_and_the_session_is_unknown(mcp_node):
    node = await mcp_node()
    bearer = await node.bearer()
    wire_id = await node.open(bearer)
    async with stream(node, bearer, **{"mcp-session-id": wire_id}) as reading:
        (session,) = await node.sessions()
        assert (await node.host.admin.delete(f"/api/mcp/sessions/{session['id']}")).status_code == 204
        await ends(reading)
    assert await node.sessions() == []
    answer = await node.post(bearer, rpc("ping"), mcp_session_id=wire_id)
    assert answer.status_code == 404
    assert [e.type for e in await node.host.event_log()][-1] == "mcp_session.ended"


async def test_nobody_sees_or_ends_the_session_of_another(mcp_node):
    node = await mcp_node()
    await node.open(await node.bearer())
    (session,) = await node.sessions()
    assert await (await node.host.operator.get("/api/mcp/sessions")).get_json() == []
    assert (await node.host.operator.delete(f"/api/mcp/sessions/{session['id']}")).status_code == 404
    assert (await node.host.viewer.delete(f"/api/mcp/sessions/{session['id']}")).status_code == 403


async def test_revoking_a_key_ends_its_open_streams_of_both_transports_and_no_other(mcp_node):
    node = await mcp_node()
    doomed, other = await node.make_key(), await node.bearer()
    wire_id, kept_id = await node.open(doomed["raw"]), await node.open(other)
    async with (
        stream(node, doomed["raw"], **{"mcp-session-id": wire_id}) as streamable,
        stream(node, doomed["raw"], "/mcp/sse") as legacy,
        stream(node, other, **{"mcp-session-id": kept_id}) as kept,
    ):
        await node.host.admin.delete(f"/api/mcp/keys/{doomed['id']}")
        await ends(streamable)
        await ends(legacy)
        await asyncio.sleep(0.1)
        assert not kept.done()
    answer = await node.post(doomed["raw"], rpc("ping"), mcp_session_id=wire_id)
    assert answer.status_code == 401 and answer.json()["error"] == "key_revoked"


async def test_rotating_a_key_ends_what_the_old_one_opened(mcp_node):
    node = await mcp_node()
    key = await node.make_key()
    wire_id = await node.open(key["raw"])
    async with stream(node, key["raw"], **{"mcp-session-id": wire_id}) as reading:
        await node.host.admin.post(f"/api/mcp/keys/{key['id']}/rotate")
        await ends(reading)


async def test_a_key_that_expires_takes_its_streams_along(mcp_node):
    node = await mcp_node()
    key = await node.make_key(expires_in_days=1)
    wire_id = await node.open(key["raw"])
    async with stream(node, key["raw"], **{"mcp-session-id": wire_id}) as reading:
        node.host.clock._passed += 86400
        await node.host.clock.advance(31)
        await ends(reading)
    assert (await node.post(key["raw"], rpc("ping"))).json()["error"] == "key_expired"


async def test_a_call_that_runs_when_its_key_is_revoked_ends_without_a_500(mcp_node):
    node = await mcp_node(test_plugin())
    key = await node.make_key()
    for accept in ("application/json, text/event-stream", "application/json"):
        wire_id = (await node.post(key["raw"], rpc("initialize", _hello()), Accept=accept)).headers["mcp-session-id"]
        call = rpc("tools/call", {"name": "test_slow", "arguments": {}}, id=7)
        running = asyncio.create_task(node.post(key["raw"], call, mcp_session_id=wire_id, Accept=accept))
        await asyncio.sleep(0.3)
        key = await (await node.host.admin.post(f"/api/mcp/keys/{key['id']}/rotate")).get_json()
        async with asyncio.timeout(3):
            assert (await running).status_code in (200, 404)


def _hello():
    from mcp_node import INITIALIZE

    return INITIALIZE


async def test_a_session_that_idles_for_too_long_is_ended(mcp_node):
    node = await mcp_node(session_idle_seconds=50)
    bearer = await node.bearer()
    quiet, busy = await node.open(bearer), await node.open(bearer)
    async with stream(node, bearer, **{"mcp-session-id": busy}):
        await node.host.clock.advance(65)
        assert len(await node.sessions()) == 1, "an open stream is not idle"
    assert (await node.post(bearer, rpc("ping"), mcp_session_id=quiet)).status_code == 404


async def test_there_are_so_many_sessions_of_a_key_and_no_more(mcp_node):
    node = await mcp_node(max_sessions_per_key=2)
    bearer = await node.bearer()
    await node.open(bearer)
    await node.open(bearer)
    answer = await node.post(bearer, rpc("initialize", _hello()))
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert "Too many" in answer.json()["error"]["message"]


async def test_the_key_of_another_cannot_use_a_session(mcp_node):
    node = await mcp_node()
    wire_id = await node.open(await node.bearer())
    answer = await node.post(await node.bearer(), rpc("ping"), mcp_session_id=wire_id)
    assert answer.status_code == 404


async def test_what_was_open_ends_when_the_plugin_stops(mcp_node):
    node = await mcp_node()
    bearer = await node.bearer()
    wire_id = await node.open(bearer)
    async with stream(node, bearer, **{"mcp-session-id": wire_id}) as reading:
        record = node.host.record("memory")
        await node.host.host.lifespans.stop(record)
        await ends(reading)
