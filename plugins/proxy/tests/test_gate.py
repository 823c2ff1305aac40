"""The gate's parts: codes that hold once and for a minute, and a socket that answers nothing but questions."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from browsing import PAGE
from cloudos_proxy.sign_in.redirects import RedirectTarget
from cloudos_proxy.sign_in.session_handoff import SessionHandoff
from cloudos_sdk.testing.fixtures import FakeClock
from components.ports import free_ports

GIT = RedirectTarget("git.cloud.test", "https://git.cloud.test", "/x")
ASK = b"GET /api/auth/validate? HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: git.cloud.test\r\n%b\r\n"


class Secrets:
    """A keyed digest that is none: what is tested is what it is a digest of."""

    def digest(self, secret):
        return secret.encode().hex()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def hand_over(clock):
    return SessionHandoff(Secrets(), clock)


def begun(hand_over):
    mark, cookie = hand_over.state("", secure=True)
    state = hand_over.state_of(cookie.partition(";")[0], secure=True)
    return hand_over.begin("sess_1", GIT, mark).partition("code=")[2], state


async def test_a_code_holds_for_a_minute(hand_over, clock):
    code, state = begun(hand_over)
    await clock.advance(59)
    assert hand_over.take(code, "git.cloud.test", state) == ("sess_1", GIT)
    assert hand_over.take(code, "git.cloud.test", state) is None
    code, state = begun(hand_over)
    await clock.advance(60)
    assert hand_over.take(code, "git.cloud.test", state) is None


async def test_a_code_that_was_tried_wrongly_is_spent(hand_over):
    for host, other in (("wiki.cloud.test", None), ("git.cloud.test", "x" * 32)):
        code, state = begun(hand_over)
        assert hand_over.take(code, host, other or state) is None
        assert hand_over.take(code, "git.cloud.test", state) is None


def test_a_cookie_that_was_taken_in_clear_is_none_over_tls(hand_over):
    plain = RedirectTarget("git.cloud.test", "http://git.cloud.test", "/")
    value = hand_over.cookie("sess_1", plain).partition(";")[0].partition("=")[2]
    assert hand_over.session_of(f"cloudos_route={value}", "git.cloud.test", secure=False) == "sess_1"
    assert hand_over.session_of(f"__Host-cloudos_route={value}", "git.cloud.test", secure=True) is None
    assert hand_over.session_of(f"cloudos_route={value}", "wiki.cloud.test", secure=False) is None


async def ask(node, sent):
    """Send bytes to the gate's socket; return what comes back until it hangs up or a second has passed."""
    path = node.host.ctx("proxy").data_dir / "gate.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(sent)
    try:
        async with asyncio.timeout(1):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b"hung up"
    finally:
        writer.close()


async def test_the_socket_answers_questions_and_hangs_up_on_everything_else(door_node):
    node = await door_node()
    assert (await ask(node, ASK % b"")).startswith(b"HTTP/1.1 401 ")
    assert (await ask(node, ASK % b"Authorization: Bearer viewer\r\n")).startswith(
        b"HTTP/1.1 200 OK\r\nRemote-User: viewer"
    )
    for odd in (
        b"POST / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"nonsense\r\n\r\n",
        ASK % b"Content-Length: 5\r\n",
        ASK % b"Transfer-Encoding: chunked\r\n",
        ASK % b"no colon\r\n",
        (ASK % b"Authorization: Bearer viewer\r\n") * 2,
        b"x" * 200_000,
    ):
        assert await ask(node, odd) == b"hung up", odd[:40]
    assert (await ask(node, ASK % b"Authorization: Bearer nonsense\r\n")).startswith(b"HTTP/1.1 401 ")


async def test_behind_another_server_a_visitor_may_not_say_which_name_was_asked_for(door_node, backend):
    app = await backend("wiki")
    (port,) = free_ports(1)
    node = await door_node(mode="coexist", coexist_port=port)
    await node.route("wiki.cloud.test", app.addr, require_auth=True)
    await node.apply()
    spoofed = {"Host": "wiki.cloud.test", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https", **PAGE}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/a", headers=spoofed, allow_redirects=False) as answer,
    ):
        assert answer.status == 302
        assert parse_qs(urlsplit(answer.headers["Location"]).query)["to"] == ["https://wiki.cloud.test/a"]


async def test_websockets_pass_the_gate_and_only_with_a_sign_in(door_node, backend):
    app = await backend("chat")
    node = await door_node()
    await node.route("chat.cloud.test", app.addr, require_auth=True)
    await node.apply()
    url, name = f"http://127.0.0.1:{node.http_port}/ws", {"Host": "chat.cloud.test"}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, headers={**name, "Authorization": "Bearer viewer"}) as channel:
            await channel.send_str("hello")
            assert (await channel.receive(5)).data == "chat: hello"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, headers=name)
        assert refused.value.status == 401
