"""No upstream is sent a cookie of the node's, and none sets one, by whatever route and in whatever spelling."""

from __future__ import annotations

import asyncio
import json

import pytest

NAMES = ("cloudos_access", "cloudos_refresh", "cloudos_csrf", "cloudos_route", "cloudos_state", "cloudos_later")
PREFIXES = ("", "__Host-", "__Secure-")
PLACES = [
    ("open.cloud.test", "/"),
    ("gated.cloud.test", "/"),
    ("mixed.cloud.test", "/"),
    ("mixed.cloud.test", "/admin"),
    ("a.wild.test", "/"),
    ("b.wild.test", "/"),
    ("a.loose.test", "/"),
    ("g.loose.test", "/"),
    ("g.loose.test", "/admin"),
    ("ui.cloud.test", "/app"),
]
OPEN, GATED, MIXED, NODE = "open.cloud.test", "gated.cloud.test", "mixed.cloud.test", "ui.cloud.test"


@pytest.fixture
async def node(door_node, backend):
    app = await backend("app")
    other = await backend("beside")
    node = await door_node(api_addr=app.addr)
    for name, more in ((OPEN, {}), (GATED, {"require_auth": True}), (MIXED, {})):
        await node.route(name, (await backend("other")).addr, **more)
    await node.route(MIXED, (await backend("inner")).addr, path_prefix="/admin", require_auth=True)
    for name, more in (
        ("*.wild.test", {"require_auth": True}),
        ("b.wild.test", {}),
        ("*.loose.test", {}),
        ("g.loose.test", {"require_auth": True, "path_prefix": "/admin"}),
        (NODE, {"path_prefix": "/app"}),
    ):
        await node.route(name, other.addr, **more)
    status, _ = await node.call("POST", "/api/proxy/routes", {"hostname": NODE, "upstream_type": "ui"})
    assert status == 201
    assert (await node.apply())["errors"] == []
    return node


async def sent(node, host, *fields, path="/", method="GET"):
    """Send raw header fields; return the `Cookie` headers that the upstream saw."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Authorization: Bearer admin", *fields, "Connection: close"]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    said = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), said
    found = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["headers"]
    return " | ".join(value for name, value in found.items() if "cookie" in name.lower())


@pytest.mark.parametrize(("host", "path"), PLACES)
async def test_none_reaches_an_app_in_any_spelling(node, host, path):
    for name in (prefix + name for prefix in PREFIXES for name in NAMES):
        for fields in (
            [f"Cookie: {name}=secret"],
            [f"Cookie: a=1; {name}=secret; b=2"],
            [f"Cookie: a=1;{name}=secret;b=2"],
            [f"Cookie: a=1 ;  {name} = secret"],
            [f"Cookie: a=1;\t{name}=secret"],
            [f"Cookie: {name}=secret; {name}=secret", "Cookie: a=1"],
            ["Cookie: a=1", f"Cookie: {name}=secret", f"cookie: {name}=secret; b=2"],
            [f'Cookie: a=1; {name}="secret"; b=2'],
            [f'Cookie: a="x; {name}=secret"; b=2'],
            [f'Cookie: $Version=1; {name}="secret"; $Path="/"'],
            [f"Cookie: a=1, {name}=secret"],
            [f"Cookie: ;;; {name}=secret"],
            [f"Cookie: a=1; {name.upper()}=secret"],
            [f'Cookie: a=1; "{name}=secret"'],
            [f"Cookie: a=1; \xa0{name}=secret"],
            [f"Cookie: ={name}=secret"],
            [f"Cookie: a=1; = {name}=secret"],
        ):
            seen = await sent(node, host, *fields, path=path)
            assert "secret" not in seen and name not in seen.lower(), (fields, seen)


async def test_an_apps_own_cookies_pass_to_the_letter(node):
    for cookies in (
        "a=1",
        "a=1; b=2",
        'session="x y"; theme=dark',
        "not_cloudos_access=1; x=cloudos_access",
        "my-cloudos_route=1",
        "cloudos=1; cloudosroute=2",
    ):
        for host in (OPEN, GATED):
            assert await sent(node, host, f"Cookie: {cookies}") == cookies
    assert await sent(node, OPEN, "Cookie: a=1; cloudos_access=secret; b=2") == "a=1; b=2"


async def test_the_node_itself_is_sent_them(node):
    assert await sent(node, NODE, "Cookie: cloudos_access=1; __Host-cloudos_csrf=2") == (
        "cloudos_access=1; __Host-cloudos_csrf=2"
    )


async def test_a_routes_own_headers_cannot_carry_them_off(node):
    headers = {
        "X-One": "{http.request.header.Cookie}",
        "X-Two": "{http.request.cookie.cloudos_route}{http.request.cookie.cloudos_access}",
        "X-Three": "{http.request.header.X-Cloudos-Proxy}{http.request.header.Authorization}",
    }
    for host in (OPEN, GATED):
        _, listed = await node.call("GET", "/api/proxy/routes")
        (route,) = [each for each in listed if each["hostname"] == host]
        await node.call("PUT", f"/api/proxy/routes/{route['id']}", {"request_headers": headers})
    assert (await node.apply())["errors"] == []
    for host in (OPEN, GATED):
        answer = await node.visit(
            host, headers={"Cookie": "cloudos_access=secret; cloudos_route=secret", "Authorization": "Bearer admin"}
        )
        told = answer.json["headers"]
        assert "secret" not in json.dumps(told), told
        if host == GATED:
            assert "admin" not in told.get("X-Three", ""), "nor the node's own token"


async def test_an_app_sets_none_of_them(door_node):
    from aiohttp import web

    async def setting(request):
        answer = web.Response(text="x")
        for value in (
            "cloudos_access=evil; Domain=cloud.test; Path=/",
            "a=1; Path=/",
            " __Host-cloudos_route=evil",
            "=cloudos_access=evil",
            "  =  cloudos_access=evil; Path=/",
            "\t==cloudos_access=evil",
            "=__Host-cloudos_csrf=evil",
            ",=cloudos_access=evil",
            "cloudos_access",
            "=b; Path=/",
            "c==cloudos_access",
        ):
            answer.headers.add("Set-Cookie", value)
        return answer

    app = web.Application()
    app.router.add_get("/{rest:.*}", setting)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        node = await door_node()
        addr = f"127.0.0.1:{runner.addresses[0][1]}"
        await node.route(OPEN, addr)
        await node.route(GATED, addr, require_auth=True)
        await node.call("POST", "/api/proxy/routes", {"hostname": NODE, "upstream_type": "ui"})
        await node.route(NODE, addr, path_prefix="/app")
        await node.apply("?force=true")
        for name, path in ((OPEN, "/"), (GATED, "/"), (NODE, "/app")):
            answer = await node.visit(name, path, headers={"Authorization": "Bearer viewer"})
            passed = [value for value in answer.headers.getall("Set-Cookie") if value]
            assert passed == ["a=1; Path=/", "=b; Path=/", "c==cloudos_access"], name
    finally:
        await runner.cleanup()
