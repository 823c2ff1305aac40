"""The transports: every way in, what is resumed, what is refused, and in whose words."""

from __future__ import annotations

import asyncio
import json

import pytest
from conformance_parts import test_plugin
from mcp_node import INITIALIZE, data, eventually, failure, rpc

CREATE = {"name": "memory_create", "arguments": {"content": "Hello"}}


@pytest.mark.parametrize("way", [{"mode": "legacy"}, {"mode": "auto"}, {"sse": True}], ids=str)
async def test_the_official_client_works_by_every_transport_and_era(mcp_node, way):
    node = await mcp_node()
    async with node.client(await node.bearer(), **way) as client:
        tools = (await client.list_tools()).tools
        made = data(await client.call_tool("memory_create", {"content": "By any way in"}))
        read = await client.read_resource(f"memory://note/{made['memory']['id']}")
        prompts = (await client.list_prompts()).prompts
        await asyncio.sleep(0.2)  # its SSE reader fails on a notification that comes while it closes
    assert len(tools) == 12
    assert "By any way in" in read.contents[0].text
    assert [p.name for p in prompts] == ["recall_context", "save_session", "weekly_review"]


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_every_revision_with_a_handshake_is_spoken(mcp_node, version):
    node = await mcp_node()
    answer = await node.post(await node.bearer(), rpc("initialize", {**INITIALIZE, "protocolVersion": version}))
    assert _result(answer)["protocolVersion"] == version
    offered = _result(answer)["capabilities"]
    assert offered["resources"] == {"subscribe": True, "listChanged": True}
    assert offered["tools"] == offered["prompts"] == {"listChanged": True}
    assert "completions" in offered and "logging" in offered


async def test_who_takes_json_alone_gets_json(mcp_node):
    node = await mcp_node()
    bearer = await node.bearer()
    hello = await node.post(bearer, rpc("initialize", INITIALIZE), Accept="application/json")
    wire_id = hello.headers["mcp-session-id"]
    answer = await node.post(bearer, rpc("tools/call", CREATE), Accept="application/json", mcp_session_id=wire_id)
    for each in (hello, answer):
        assert each.headers["content-type"] == "application/json"
    assert answer.json()["result"]["structuredContent"]["memory"]["title"] == "Hello"


async def test_two_clients_at_once_do_not_get_in_each_others_way(mcp_node):
    node = await mcp_node()
    one, two = await node.bearer(namespace="work"), await node.bearer(namespace="home")

    async def write(bearer, whose):
        async with node.client(bearer) as client:
            calls = [client.call_tool("memory_create", {"content": f"{whose} {n}"}) for n in range(15)]
            return [data(made)["memory"] for made in await asyncio.gather(*calls)]

    for whose, made in zip(("work", "home"), await asyncio.gather(write(one, "work"), write(two, "home")), strict=True):
        assert {note["namespace"] for note in made} == {whose}
        assert {note["content"] for note in made} == {f"{whose} {n}" for n in range(15)}


async def test_a_client_that_vanishes_in_the_middle_comes_back_for_its_answer(mcp_node):
    node = await mcp_node(test_plugin())
    bearer = await node.bearer()
    wire_id = await node.open(bearer)
    call = rpc("tools/call", {"name": "test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": "t"}}, 9)
    headers = {"mcp-session-id": wire_id, "mcp-protocol-version": "2025-11-25", "Accept": "text/event-stream, */*"}
    async with node.http(bearer, **headers) as http, http.stream("POST", "/mcp", json=call) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("id:"):
                seen = line.partition(":")[2].strip()
                break
    await asyncio.sleep(0.4)
    got = []
    resuming = {**headers, "Last-Event-ID": seen}
    async with node.http(bearer, **resuming) as http, http.stream("GET", "/mcp") as answer, asyncio.timeout(5):
        async for line in answer.aiter_lines():
            if line.startswith("data:") and line.partition(":")[2].strip():
                got.append(json.loads(line.partition(":")[2]))
                if got[-1].get("id") == 9:
                    break
    assert [m["params"]["progress"] for m in got[:-1]] == [0, 50, 100]
    assert got[-1]["result"]["content"][0]["text"] == "done"


async def test_nobody_resumes_the_stream_of_another_session(mcp_node):
    node = await mcp_node(test_plugin())
    bearer = await node.bearer()
    mine, other = await node.open(bearer), await node.open(bearer)
    secret = rpc("tools/call", {"name": "memory_create", "arguments": {"content": "a secret"}}, 5)
    await node.post(bearer, secret, mcp_session_id=mine)
    headers = {"mcp-session-id": other, "Accept": "text/event-stream", "Last-Event-ID": "1/5"}
    said = b""
    async with node.http(bearer, **headers) as http, http.stream("GET", "/mcp") as answer:
        try:
            async with asyncio.timeout(0.5):
                async for chunk in answer.aiter_bytes():
                    said += chunk
        except TimeoutError:
            pass
    assert b"secret" not in said


async def test_progress_and_cancellation_of_a_long_call(mcp_node):
    node = await mcp_node(test_plugin())
    async with node.client(await node.bearer()) as client:
        reported = []

        async def on_progress(done, total, message):
            reported.append((done, total, message))

        calling = asyncio.create_task(client.call_tool("test_slow", {}, progress_callback=on_progress))
        await eventually(lambda: reported)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert reported == [(0, 1, "sleeping")]
        assert data(await client.call_tool("memory_stats", {}))["memories"] == 0, "the session goes on"


@pytest.mark.filterwarnings("ignore:The logging capability is deprecated")
async def test_a_client_gets_the_logs_of_the_level_it_wants(mcp_node):
    node = await mcp_node(test_plugin())
    logged = []

    async def on_log(params):
        logged.append((params.level, params.data))

    async with node.client(await node.bearer(), logging_callback=on_log) as client:
        await client.session.set_logging_level("error")
        await client.call_tool("test_tool_with_logging", {})
        assert logged == []
        await client.session.set_logging_level("debug")
        await client.call_tool("test_tool_with_logging", {})
    assert [level for level, _ in logged] == ["info"] * 3


async def test_a_client_that_cannot_be_asked_is_told_so(mcp_node):
    node = await mcp_node(test_plugin())
    async with node.client(await node.bearer()) as client:
        assert "does not support sampling" in failure(await client.call_tool("test_sampling", {"prompt": "?"}))


GARBAGE = [
    (b"", -32700),
    (b"{", -32700),
    (b"\xff\xfe", -32700),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "\\ud800"}', -32700),
    (b"[" * 5000, -32700),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": ' + b"[" * 300 + b"]" * 300 + b"}", -32700),
    (b"NaN", -32700),
    (b"[]", -32600),
    (b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"ping"}'] * 10000) + b"]", -32600),
    (b"1", -32600),
    (b'"ping"', -32600),
    (b"null", -32600),
    (b"{}", None),
    (b'{"id": {}, "method": []}', None),
    (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', None),
    (b'{"jsonrpc": "2.0", "id": 1, "method": 7, "params": "x"}', None),
]


@pytest.mark.parametrize(("body", "code"), GARBAGE, ids=lambda given: str(given)[:30])
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_garbage_is_answered_with_the_protocols_own_error(mcp_node, body, code, version):
    node = await mcp_node()
    bearer = await node.bearer()
    session = {"mcp_session_id": await node.open(bearer)} if version < "2026" else {}
    answer = await node.post(bearer, content=body, mcp_protocol_version=version, **session)
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()
    assert error["jsonrpc"] == "2.0" and error["error"]["message"]
    assert code is None or error["error"]["code"] == code


async def test_calls_that_do_not_fit_are_the_protocols_errors_too(mcp_node):
    node = await mcp_node()
    bearer = await node.bearer()
    wire_id = await node.open(bearer)

    async def error(method, params=None):
        return _message(await node.post(bearer, rpc(method, params), mcp_session_id=wire_id))["error"]

    assert (await error("no/such/method"))["code"] == -32601
    assert (await error("tools/call", {"arguments": {}}))["code"] == -32602
    unknown = await error("tools/call", {"name": "memory_creat", "arguments": {}})
    assert unknown["code"] == -32602 and "did you mean memory_create?" in unknown["message"]
    assert (await error("resources/read", {"uri": "memory://nothing"}))["code"] == -32002
    assert (await error("prompts/get", {"name": "nothing"}))["code"] == -32602
    assert "topic" in (await error("prompts/get", {"name": "recall_context"}))["message"]
    assert (await error("tools/list", {"cursor": "-1"}))["code"] == -32602
    ref = {"type": "ref/prompt", "name": "nothing"}
    assert (await error("completion/complete", {"ref": ref, "argument": {"name": "a", "value": ""}}))["code"] == -32602


async def test_content_that_is_too_long_is_refused_and_nothing_is_lost(mcp_node):
    node = await mcp_node(max_body=20_000)
    bearer = await node.bearer()
    wire_id = await node.open(bearer)
    whole = rpc("tools/call", {"name": "memory_create", "arguments": {"content": "x" * 30_000}})
    answer = await node.post(bearer, whole, mcp_session_id=wire_id)
    assert answer.status_code == 413 and "20000 bytes" in answer.json()["error"]["message"]
    answer = await node.post(bearer, rpc("tools/call", CREATE), mcp_session_id=wire_id)
    assert _message(answer)["result"]["isError"] is False


async def test_requests_without_a_session_are_refused(mcp_node):
    node = await mcp_node()
    bearer = await node.bearer()
    assert (await node.post(bearer, rpc("ping"))).status_code == 400
    assert (await node.post(bearer, rpc("ping"), mcp_session_id="none")).status_code == 404
    assert (await node.post(bearer, rpc("ping"), path="/mcp/messages")).status_code == 400
    for name in ("0" * 32, "none", "%00"):
        assert (await node.post(bearer, rpc("ping"), path=f"/mcp/messages?session_id={name}")).status_code == 404
    async with node.http(bearer, Accept="text/event-stream") as http:
        assert (await http.get("/mcp")).status_code == 400
        assert (await http.delete("/mcp")).status_code == 400
        assert (await http.delete("/mcp", headers={"mcp-session-id": "none"})).status_code == 404
        assert (await http.get("/mcp/nothing")).status_code == 404
        wrong = await http.put("/mcp/sse", json={})
        assert wrong.status_code == 405 and wrong.headers["Allow"] == "GET"
    plain = await node.post(bearer, content=b"ping", Content_Type="text/plain")
    assert plain.status_code == 415


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "node.example.org", "Origin": "https://node.example.org"}, 200),
        ({"Origin": "https://chat.example.com"}, 200),
        ({"Host": "192.168.1.5:8080", "Origin": "http://192.168.1.5:8080"}, 200),
        ({"Host": "[::1]:8080", "Origin": "http://localhost:6274"}, 200),
    ],
    ids=str,
)
async def test_pages_of_other_sites_and_rebound_names_stay_out(mcp_node, headers, status):
    node = await mcp_node(allowed_hosts=["node.example.org"], allowed_origins=["https://chat.example.com"])
    answer = await node.post(await node.bearer(), rpc("initialize", INITIALIZE), **headers)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["error"]["message"]


async def test_a_page_of_an_allowed_origin_asks_first_and_reads_the_answers(mcp_node):
    node, origin = await mcp_node(allowed_origins=["https://chat.example.com"]), "https://chat.example.com"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    async with node.http(None) as http:
        answer = await http.options("/mcp", headers={**asks, "Origin": origin})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, origin)
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert {"Authorization", "Mcp-Session-Id"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
        assert (await http.options("/mcp", headers={**asks, "Origin": "https://evil.example.com"})).status_code == 403
        assert (await http.options("/mcp")).status_code == 401, "only the question of a browser goes without a key"
        assert (await http.post("/mcp", headers={**asks, "Origin": origin}, json={})).status_code == 401
    answer = await node.post(await node.bearer(), rpc("initialize", INITIALIZE), Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Mcp-Session-Id" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("id", [2.5, None, True, [], {}])
async def test_a_request_with_an_id_that_is_none_is_refused(mcp_node, id):
    node = await mcp_node()
    bearer = await node.bearer()
    wire_id = await node.open(bearer)
    answer = await node.post(bearer, {**rpc("ping"), "id": id}, mcp_session_id=wire_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


async def test_null_for_an_argument_that_may_be_left_out_is_that_it_is_left_out(mcp_node):
    node = await mcp_node()
    bearer = await node.bearer()
    wire_id = await node.open(bearer)
    arguments = {"content": "Buy milk", "title": None, "tags": None, "importance": None}
    call = rpc("tools/call", {"name": "memory_create", "arguments": arguments})
    result = _message(await node.post(bearer, call, mcp_session_id=wire_id))["result"]
    assert result["isError"] is False, result
    call = rpc("tools/call", {"name": "memory_create", "arguments": {"content": None}})
    assert _message(await node.post(bearer, call, mcp_session_id=wire_id))["result"]["isError"] is True


async def test_the_plans_rate_is_kept_with_429_and_a_json_rpc_error(mcp_node):
    node = await mcp_node(plan="community")
    bearer, other = await node.bearer(), await node.bearer(who=node.host.operator)
    wire_id = await node.open(bearer)

    async def call(bearer=bearer, wire_id=wire_id, method="tools/list"):
        return await node.post(bearer, rpc(method, id=4), mcp_session_id=wire_id)

    assert {(await call()).status_code for _ in range(30)} == {200}
    over = await call()
    assert over.status_code == 429 and int(over.headers["Retry-After"]) == 60
    assert over.json()["id"] == 4 and "30 calls a minute" in over.json()["error"]["message"]
    assert (await call(method="ping")).status_code == 200, "a ping is no call"
    assert (await call(other, await node.open(other))).status_code == 200, "each user has their own"
    node.plan.plan = "pro"
    assert (await call()).status_code == 200, "a better plan holds on the next request"
    node.plan.plan = "community"
    await node.host.clock.advance(61)
    assert (await call()).status_code == 200


def _message(answer):
    """Return the last message of an answer, of JSON or of a stream."""
    if answer.headers["content-type"].startswith("application/json"):
        return answer.json()
    lines = [line.partition(":")[2] for line in answer.text.splitlines() if line.startswith("data:")]
    return json.loads([line for line in lines if line.strip()][-1])


def _result(answer):
    return _message(answer)["result"]
