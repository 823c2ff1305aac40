"""HTTP/3, asked by a QUIC client that trusts Caddy's own CA and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from functools import partial

import aiohttp
import httpx
import orjson
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from cloudos_sdk.capabilities import Users
from cloudos_sdk.testing.fakes import FakeUsers, providing


class Visitor(QuicConnectionProtocol):
    """A client of one connection."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self._http = H3Connection(self._quic)
        self._asked = {}
        self.heads = []

    async def get(self, hostname, path="/", *fields, method=b"GET"):
        """Return the status and the body of a page."""
        stream = self._quic.get_next_available_stream_id()
        names = {b":method": method, b":scheme": b"https", b":authority": hostname.encode(), b":path": path.encode()}
        self._asked[stream] = asyncio.get_running_loop().create_future(), [], []
        self._http.send_headers(stream, [*names.items(), *fields], end_stream=method == b"GET")
        self.transmit()
        async with asyncio.timeout(10):
            await self._asked[stream][0]
        _, heads, body = self._asked.pop(stream)
        self.heads.append(heads)
        return int(dict(heads)[b":status"]), b"".join(body)

    def quic_event_received(self, event):
        for found in self._http.handle_event(event):
            done, heads, body = self._asked[found.stream_id]
            if isinstance(found, HeadersReceived):
                heads.extend(found.headers)
            elif isinstance(found, DataReceived):
                body.append(found.data)
            if found.stream_ended:
                done.set_result(None)


async def test_pages_come_by_quic_before_and_after_an_apply(door_node, backend):
    node, app = await door_node(route_certificates="internal"), await backend("app")
    await node.route("a.example.com", app.addr)
    await node.apply()
    root = node.host.ctx("proxy").data_dir / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    await node.until(root.exists)
    quic = QuicConfiguration(alpn_protocols=H3_ALPN, server_name="a.example.com", cafile=str(root))

    async def by_quic(path):
        async with connect("127.0.0.1", node.https_port, configuration=quic, create_protocol=Visitor) as visitor:
            return await visitor.get("a.example.com", path)

    async def advertised():
        trusted = ssl.create_default_context(cafile=str(root))
        url, name = f"https://127.0.0.1:{node.https_port}/", {"Host": "a.example.com"}
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(url, headers=name, ssl=trusted, server_hostname="a.example.com") as answer:
                    return answer.headers["Alt-Svc"]
            except aiohttp.ClientError:
                return None  # the certificate is not there yet

    assert f'h3=":{node.https_port}"' in await node.until(advertised)
    assert (await by_quic("/one"))[0] == 200 and app.seen[-1].path == "/one"
    await node.route("b.example.com", app.addr)
    assert (await node.apply())["applied"] == 1
    assert (await by_quic("/two"))[0] == 200 and app.seen[-1].path == "/two"


async def test_a_visitor_by_quic_is_believed_no_more_than_another(door_node, backend):
    node, app = await door_node(route_certificates="internal"), await backend("app")
    await node.route("a.example.com", app.addr)
    await node.route("far.example.com", app.addr, ip_allow=["203.0.113.7"])
    await node.apply()
    root = node.host.ctx("proxy").data_dir / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    await node.until(root.exists)
    quic = QuicConfiguration(alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name="a.example.com")
    forged = [
        (b"x-forwarded-for", b"203.0.113.7"),
        (b"x-cloudos-visitor", b"203.0.113.7"),
        (b"remote-user", b"root"),
        (b"remote_user", b"root"),
        (b"cookie", b"cloudos_access=secret"),
        (b"cookie", b"a=1"),
        (b"cookie", b"__Host-cloudos_route=secret"),
    ]

    async def asked():
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(TimeoutError, ConnectionError))  # the certificate is not there yet
            opened = connect("127.0.0.1", node.https_port, configuration=quic, create_protocol=Visitor)
            visitor = await stack.enter_async_context(opened)
            return [
                await visitor.get("a.example.com", "/", *forged),
                await visitor.get("far.example.com", "/", *forged),
                await visitor.get("a.example.com", "/ws", (b":protocol", b"websocket"), method=b"CONNECT"),
            ]

    near, far, channel = await node.until(asked)
    told = {name.lower(): value for name, value in orjson.loads(near[1])["headers"].items()}
    assert (told["x-forwarded-for"], told["cookie"]) == ("127.0.0.1", "a=1")
    assert not [name for name in told if name.startswith(("remote", "x-cloudos"))]
    assert far[0] == 403
    assert channel[0] == 421, "a WebSocket that could not be ended with the right to it"


async def test_a_name_behind_the_gate_is_served_by_tls_and_not_by_quic(door_node, backend):
    users = FakeUsers()
    node, app = await door_node(providing(Users, users), route_certificates="internal"), await backend("app")
    await node.route("a.example.com", app.addr)
    await node.route("gated.example.com", app.addr, path_prefix="/in", require_auth=True)
    await node.route("gated.example.com", app.addr)
    await node.route("*.wild.example.com", app.addr, require_auth=True)
    await node.apply()
    quic = QuicConfiguration(alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name="a.example.com")
    bearer = {"Authorization": "Bearer viewer"}

    async def asked():
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(TimeoutError, ConnectionError))  # the certificate is not there yet
            opened = connect("127.0.0.1", node.https_port, configuration=quic, create_protocol=Visitor)
            visitor = await stack.enter_async_context(opened)
            fields = [(name.lower().encode(), value.encode()) for name, value in bearer.items()]
            names = ("a.example.com", "gated.example.com", "GATED.example.com", "b.wild.example.com")
            return [await visitor.get(name, "/in/ticks", *fields) for name in names], visitor.heads

    answers, heads = await node.until(asked)
    assert [status for status, _ in answers] == [200, 421, 421, 421]
    assert [dict(each).get(b"alt-svc") for each in heads] == [None, b"clear", b"clear", b"clear"]
    assert [request.path for request in app.seen] == ["/in/ticks"], "the open name's alone"

    async def by_tls(client, name, path):
        url, extensions = f"https://127.0.0.1:{node.https_port}{path}", {"sni_hostname": name}
        with contextlib.suppress(httpx.TransportError):
            return await client.get(url, headers={"Host": name, **bearer}, extensions=extensions)

    async with httpx.AsyncClient(verify=False, http1=False, http2=True) as client:
        for name, path in (("gated.example.com", "/in"), ("gated.example.com", "/"), ("b.wild.example.com", "/")):
            answer = await node.until(partial(by_tls, client, name, path))
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
            assert "Alt-Svc" not in answer.headers, "nobody is sent to QUIC"
    async with httpx.AsyncClient(verify=False) as client:
        assert "h3" in (await node.until(partial(by_tls, client, "a.example.com", "/"))).headers["Alt-Svc"]
