"""Nobody has more than a share of what all use: sessions, calls, and the work of checking a key."""

from __future__ import annotations

import asyncio

import pytest
from cloudos_memory.keys.cache import KeyCache
from cloudos_memory.mcp_server import app
from cloudos_sdk import TooManyRequests, Unauthenticated
from cloudos_sdk.capabilities import BearerAuthenticator
from mcp_node import INITIALIZE, rpc

HELLO = rpc("initialize", INITIALIZE)


def guess(key, number):
    """Return a bearer that begins as the key's does."""
    letters = "ABCDEFGHJKLMNPQRSTVWXYZ123456789"
    tail = "".join(letters[(number >> (5 * place)) % 32] for place in range(4))
    return f"Bearer {key['raw'][:12]}{tail.rjust(22, 'A')}"


async def test_one_user_leaves_room_for_the_sessions_of_others(mcp_node):
    node = await mcp_node(max_sessions=16)
    greedy = [await node.bearer(who=node.host.operator) for _ in range(3)]
    opened = [await node.post(greedy[n % 3], HELLO) for n in range(20)]
    assert [answer.status_code for answer in opened].count(200) == 8
    assert "your MCP sessions" in opened[-1].json()["error"]["message"]
    other = await node.bearer()
    assert [(await node.post(other, HELLO)).status_code for _ in range(5)] == [200] * 4 + [503]


async def test_sessions_that_open_at_once_are_counted_too(mcp_node):
    node = await mcp_node(max_sessions=16)
    greedy = await node.bearer(who=node.host.operator)
    answers = await asyncio.gather(*(node.post(greedy, HELLO) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [503] * 12


async def test_a_fresh_key_has_no_fresh_rate(mcp_node):
    node = await mcp_node(plan="community")
    first, second = await node.bearer(), await node.bearer()
    of_another = await node.bearer(who=node.host.operator)
    sessions = {bearer: await node.open(bearer) for bearer in (first, second, of_another)}

    async def call(bearer):
        return (await node.post(bearer, rpc("tools/list"), mcp_session_id=sessions[bearer])).status_code

    assert {await call(first) for _ in range(30)} == {200}
    assert await call(second) == 429, "the same user"
    assert await call(of_another) == 200, "another one"


async def test_a_message_that_drips_has_a_time_for_all_of_it(mcp_node, monkeypatch):
    monkeypatch.setattr(app, "_BODY_SECONDS", 0.5)
    node = await mcp_node()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rpartition(":")[2]))
    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {await node.bearer()}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode())
    answer = asyncio.create_task(reader.read(1000))
    async with asyncio.timeout(15):
        while not answer.done():
            writer.write(b" ")
            await asyncio.sleep(0.05)
    assert b" 408 " in await answer
    writer.close()


@pytest.fixture
async def node(cloudos):
    """Run a node whose keys are known by nothing but their hash, as after a restart."""
    settings = {"memory": {"keys": {"bcrypt_cost": 4}, "embedding": {"backend": "off"}}}
    host = await cloudos("notes", "memory", settings=settings)
    body = {"name": "Claude", "client_type": "claude_desktop", "namespace": "work", "scopes": ["read_memory"]}
    host.key = await (await host.admin.post("/api/mcp/keys", json=body)).get_json()
    await host.restart()
    return host


async def test_who_guesses_keeps_the_right_key_of_another_address_not_out(node):
    bearers = node.ctx("memory").use(BearerAuthenticator)
    held, matches = asyncio.Event(), bearers._hasher.matches

    async def slow(bearer, hashed):  # as bcrypt is at its real cost
        await held.wait()
        return await matches(bearer, hashed)

    bearers._hasher.matches = slow
    guesses = [asyncio.create_task(bearers.authenticate(guess(node.key, n), "192.0.2.1")) for n in range(30)]
    await asyncio.sleep(0.05)
    right = asyncio.create_task(bearers.authenticate(f"Bearer {node.key['raw']}", "192.0.2.2"))
    await asyncio.sleep(0.05)
    assert not right.done(), "it has its turn"
    held.set()
    assert (await right).id == node.key["id"]
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(each) for each in outcomes].count(TooManyRequests) == 28, "an address has two at a time"


async def test_a_network_of_ipv6_is_one_address(node):
    bearers = node.ctx("memory").use(BearerAuthenticator)
    tasks = [asyncio.create_task(bearers.authenticate(guess(node.key, n), f"2001:db8::{n + 1:x}")) for n in range(30)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in outcomes].count(TooManyRequests) == 28


async def test_wrong_keys_are_held_against_their_address_for_a_minute(node):
    bearers = node.ctx("memory").use(BearerAuthenticator)
    for n in range(20):
        with pytest.raises(Unauthenticated):
            await bearers.authenticate(guess(node.key, n), "192.0.2.1")
    with pytest.raises(TooManyRequests) as refused:
        await bearers.authenticate(guess(node.key, 99), "192.0.2.1")
    assert 0 < refused.value.retry_after <= 61
    await node.clock.leap(61)
    with pytest.raises(Unauthenticated):
        await bearers.authenticate(guess(node.key, 99), "192.0.2.1")


async def test_a_key_that_was_proven_is_never_locked_out_and_guesses_at_it_cost_no_bcrypt(node):
    bearers = node.ctx("memory").use(BearerAuthenticator)
    header = f"Bearer {node.key['raw']}"
    await bearers.authenticate(header, "192.0.2.1")
    checked, matches = [], bearers._hasher.matches

    async def counting(bearer, hashed):
        checked.append(bearer)
        return await matches(bearer, hashed)

    bearers._hasher.matches = counting
    outcomes = await asyncio.gather(
        *(bearers.authenticate(guess(node.key, n), "192.0.2.1") for n in range(200)), return_exceptions=True
    )
    assert {type(each) for each in outcomes} == {Unauthenticated}
    assert checked == []
    assert (await bearers.authenticate(header, "192.0.2.1")).id == node.key["id"]
    assert node.ctx("memory").use(KeyCache).proven(node.key["id"])
