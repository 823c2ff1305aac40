"""What is judged is what is forwarded: a visitor's headers and spellings of a path do not part the two."""

from __future__ import annotations

import asyncio
import json
from unicodedata import normalize

import pytest
from cloudos_proxy.caddy.config.ambiguous_paths import COMPATIBLE

NAME = "app.cloud.test"
LET_IN = "Authorization: Bearer viewer"
CONFUSING = (
    "X-Original-URL: /admin",
    "X-Original-URI: /admin",
    "X-Original-Method: OPTIONS",
    "X-Rewrite-URL: /admin",
    "X-Forwarded-Uri: /public",
    "X-Forwarded-Method: OPTIONS",
    "X-Forwarded-Host: open.cloud.test",
    "X-Forwarded-Prefix: /public",
    "X-Forwarded-Server: x",
    "X-Forwarded-User: root",
    "X_Original_URL: /admin",
    "X-Forwarded_Uri: /public",
    "X-Cloudos-Spent: 1",
    "X-Cloudos-Proxy: 1",
)
SPOOFED = tuple(
    f"{spelling}: root"
    for name in ("Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email")
    for spelling in (name, name.upper(), name.lower(), name.replace("-", "_"), name.upper().replace("-", "_"))
)


@pytest.fixture
async def node(door_node, backend):
    """Return a node with a name of which one path is gated, one is for admins, and the rest is open."""
    node = await door_node()
    app = await backend("app")
    await node.route(NAME, app.addr)
    await node.route(NAME, app.addr, path_prefix="/admin", require_auth=True)
    await node.route("shut.cloud.test", app.addr, require_auth=True)
    await node.route("shut.cloud.test", app.addr, path_prefix="/public")
    await node.route("open.cloud.test", app.addr)
    assert (await node.apply())["errors"] == []
    return node


async def ask(node, path, *fields, host=NAME, method="GET"):
    """Send a request as it is written; return its status and what the app saw."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    if not any(field.lower().startswith("connection:") for field in fields):
        lines.insert(2, "Connection: close")
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write("\r\n".join(lines).encode("latin-1"))
    try:
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.read(65536) if b"application/json" in head else b""
    finally:
        writer.close()
    status = int(head.split()[1])
    seen = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1]) if status == 200 else {}
    return status, {name.lower(): value for name, value in seen.get("headers", {}).items()}


async def test_headers_that_name_another_request_are_taken_off(node):
    for host, path, status in ((NAME, "/", 200), (NAME, "/admin", 401), ("shut.cloud.test", "/", 401)):
        found, seen = await ask(node, path, *CONFUSING, host=host)
        assert found == status
        assert not {
            name for name in seen if name.replace("_", "-").startswith(("x-original", "x-rewrite", "x-cloudos"))
        }
        if status == 200:
            assert seen["x-forwarded-host"] == NAME
            forwarded = {name for name in seen if name.replace("_", "-").startswith("x-forwarded")}
            assert forwarded == {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}
    for host, path in ((NAME, "/admin"), ("shut.cloud.test", "/")):
        assert (await ask(node, path, *CONFUSING, LET_IN, host=host))[0] == 200


@pytest.mark.parametrize("field", SPOOFED)
async def test_nobody_names_himself_on_an_open_route_or_a_gated_one(node, field):
    _, seen = await ask(node, "/", field, host="open.cloud.test")
    assert not [name for name in seen if name.replace("_", "-").startswith("remote-")]
    _, seen = await ask(node, "/", field, LET_IN, host="shut.cloud.test")
    assert (seen["remote-user"], seen["remote-groups"]) == ("viewer", "viewer")
    assert "root" not in json.dumps(seen)


@pytest.mark.parametrize(
    "tokens",
    [
        "Remote-User, Remote-Groups",
        "close, Remote-User",
        "keep-alive, remote-user, REMOTE-GROUPS, Remote-Name",
        "Authorization, Cookie",
        "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-IP",
        "X-Cloudos-Proxy",
        "Upgrade, Remote-User",
    ],
)
async def test_no_header_is_taken_off_by_naming_it_in_connection(node, tokens):
    for fields in ([f"Connection: {tokens}"], [f"Connection: {one}" for one in tokens.split(", ")]):
        status, seen = await ask(node, "/", *fields, LET_IN, host="shut.cloud.test")
        assert status == 200
        assert (seen["remote-user"], seen["remote-groups"], seen["remote-name"]) == ("viewer", "viewer", "viewer")
        assert seen["x-forwarded-for"] == "127.0.0.1" and seen["x-real-ip"] == "127.0.0.1"
        assert (await ask(node, "/", *fields, host="shut.cloud.test"))[0] == 401


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/ADMIN/x",
        "/admin/",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/%61dmin",
        "/admin%2Fx",
        "/%2fadmin",
        "/x%2f..%2fadmin",
        "/x/%2e%2e/admin",
        "/%2e/admin",
        "/%2561dmin",
        "/x/%252e%252e/admin",
        "/admin;x=y",
        "/;x/admin",
        "/x/..;/admin",
        "/x\\..\\admin",
        "/x%5c..%5cadmin",
        "/admin%00",
        "/admin%0d%0a",
        "/admin/..%2fadmin",
        "/x/%c0%ae%c0%ae/admin",
        "/x/%e0%80%ae%E0%80%AE/admin",
        "/x%c0%af..%c0%afadmin",
        "/x/%EF%BC%8E%ef%bc%8e/admin",
        "/x/%E2%80%A5/admin",
        "/x%EF%BC%8Fadmin",
        "/x%ff/admin",
        "/%ed%a0%80/admin",
        "/x%e2%80",
    ],
)
async def test_a_gated_path_is_not_reached_by_another_spelling(node, path):
    for query in ("", "?a=b", "?/public"):
        status, _ = await ask(node, path + query)
        assert status in (400, 401), "the app may read it as /admin"


@pytest.mark.parametrize(
    "path",
    [
        "/public/../secret",
        "/public/..;/secret",
        "/public/%2e%2e/secret",
        "/public/%252e%252e/secret",
        "/public\\..\\secret",
        "/public/..%5csecret",
        "/secret/../public",
        "//secret/..//public",
        "/secret/..%2fpublic",
        "/public/%c0%ae%c0%ae/secret",
        "/public/%EF%BC%8E%EF%BC%8E/secret",
        "/public/%F8%80",
    ],
)
async def test_an_open_path_does_not_lead_out_of_itself(node, path):
    assert (await ask(node, path, host="shut.cloud.test"))[0] in (400, 401)


def test_all_that_becomes_a_dot_or_a_slash_is_known():
    characters = (chr(number) for number in range(0x80, 0x110000) if not 0xD800 <= number < 0xE000)
    found = {each for each in characters if not set("./\\;%").isdisjoint(normalize("NFKC", each))}
    assert found == set(COMPATIBLE)


async def test_clear_paths_and_all_other_names_are_as_they_were(node):
    for path in (
        "/",
        "/a.b/c..d",
        "/x?y=//../;%2f",
        "/public/x",
        "/administrator",
        "/a%20b",
        "/.well-known/x",
        "/..a/b",
        "/stra%C3%9Fe/%E6%97%A5%e6%9c%ac/%F0%9F%98%80/%EE%80%80",
        "/x?y=%ff%c0%ae&z=%EF%BC%8E",
    ):
        assert (await ask(node, path))[0] == 200, path
    for path in ("/a;b=c/d", "//x", "/a%2Fb", "/a/%252e"):
        assert (await ask(node, path, host="open.cloud.test"))[0] == 200, path
        assert (await node.visit("open.cloud.test", "/")).status == 200


SWITCHES = [
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    ("Connection: Upgrade", "Upgrade: h2c"),
    ("Connection: Upgrade", "Upgrade: TLS/1.2"),
    ("Connection: Upgrade", "Upgrade: websocket, h2c"),
    ("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket/13"),
    ("Connection: upgrade", "Upgrade: connect-udp"),
    ("Connection: keep-alive", "Upgrade: websocket"),
]


@pytest.fixture
async def switcher():
    """Run an upstream that would switch to whatever it is asked for, and then answers anything."""
    seen = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head.decode("latin-1"))
        upgrade = next((line for line in seen[-1].split("\r\n") if line.lower().startswith("upgrade:")), None)
        if upgrade is None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        else:
            writer.write(f"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n{upgrade}\r\n\r\n".encode())
            while chunk := await reader.read(1024):
                writer.write(chunk.upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    server.close()


@pytest.mark.parametrize("fields", SWITCHES)
async def test_caddy_switches_to_no_protocol_but_websocket(door_node, switcher, fields):
    addr, seen = switcher
    node = await door_node(api_addr=addr)
    await node.call("POST", "/api/proxy/routes", {"hostname": "ui.cloud.test", "upstream_type": "ui"})
    await node.route("open.cloud.test", "127.0.0.1:19")
    await node.apply("?force=true")
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write("\r\n".join(["GET / HTTP/1.1", "Host: ui.cloud.test", *fields, "", ""]).encode())
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"through")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert not [line for line in seen[-1].lower().split("\r\n") if line.startswith(("upgrade", "http2-settings"))]
    writer.close()


async def test_a_websocket_is_switched_to_with_nothing_beside_it(door_node, switcher):
    addr, seen = switcher
    node = await door_node(api_addr=addr)
    await node.call("POST", "/api/proxy/routes", {"hostname": "ui.cloud.test", "upstream_type": "ui"})
    await node.apply()
    fields = ("Connection: keep-alive, UPGRADE, Remote-User", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13")
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write("\r\n".join(["GET / HTTP/1.1", "Host: ui.cloud.test", *fields, "", ""]).encode())
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
    writer.close()
    lines = seen[-1].lower().split("\r\n")
    assert "connection: upgrade" in lines and "upgrade: websocket" in lines


async def test_caddy_takes_no_http_2_in_clear(node):
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    async with asyncio.timeout(10):
        said = await reader.read()
    assert b"\0\0\0\4" not in said[:64] and not said.startswith(b"HTTP/1.1 2"), said
    writer.close()
