"""A connection that was let in ends with the right to it: WebSockets, streams and downloads, within seconds."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time

import aiohttp
import httpx
import pytest
from browsing import browser
from cloudos_proxy.caddy import connections
from cloudos_proxy.caddy.open_visits import RIGHTS, OpenVisits, VisitRight, peer_of
from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_sdk import Principal, Role
from cloudos_sdk.capabilities import Users
from cloudos_sdk.testing.fakes import FakeUsers, providing
from signed_on import GIT, WIKI, run

NAME = "chat.cloud.test"
WITHIN = 5.0


@contextlib.asynccontextmanager
async def channel(port, name, bearer=None, **headers):
    """Open a WebSocket by a connection of its own."""
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/ws", headers={"Host": name, **headers}) as found,
    ):
        assert await echoes(found)
        yield found


async def echoes(found):
    await found.send_str("hello")
    return (await found.receive(WITHIN)).type is aiohttp.WSMsgType.TEXT


async def ended(found):
    """Tell that it ends in time; how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(WITHIN):
        while (await found.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return time.monotonic() - began


@pytest.fixture
def users():
    return FakeUsers()


@pytest.fixture
async def node(door_node, backend, users):
    app = await backend("chat")
    node = await door_node(providing(Users, users))
    await node.route(NAME, app.addr, require_auth=True)
    await node.route("admins.cloud.test", app.addr, require_auth=True, allowed_roles=["admin"])
    await node.route("open.cloud.test", app.addr)
    await node.apply()
    return node


async def test_a_websocket_ends_with_its_user_and_nobody_elses_does(node, users):
    async with (
        channel(node.http_port, NAME, "viewer") as theirs,
        channel(node.http_port, NAME, "operator") as others,
        channel(node.http_port, "open.cloud.test") as anybodys,
    ):
        users.set("usr_viewer", None)
        assert await ended(theirs) < 2, "at once, for the change is told"
        assert await echoes(others) and await echoes(anybodys)


async def test_a_websocket_ends_when_the_role_is_not_enough_any_more(node, users):
    async with (
        channel(node.http_port, "admins.cloud.test", "admin") as narrow,
        channel(node.http_port, NAME, "admin") as wide,
    ):
        users.set("usr_admin", Principal("user", "usr_admin", "admin", Role.VIEWER, "usr_admin"))
        await ended(narrow)
        assert await echoes(wide), "this route asks for no role"


async def changed(node, hostname, **change):
    """Change a route and apply it."""
    _, routes = await node.call("GET", "/api/proxy/routes")
    (route,) = [route for route in routes if route["hostname"] == hostname]
    status, answer = await node.call("PUT", f"/api/proxy/routes/{route['id']}", change)
    assert status == 200, answer
    assert (await node.apply())["applied"] == 1
    return route


async def test_who_is_in_is_judged_by_the_roles_that_the_route_asks_for_since_an_apply(node):
    async with (
        channel(node.http_port, NAME, "operator") as theirs,
        channel(node.http_port, NAME, "admin") as admins,
        channel(node.http_port, "admins.cloud.test", "admin") as elsewhere,
    ):
        await changed(node, NAME, allowed_roles=["admin", "operator"])
        await asyncio.sleep(2)
        assert await echoes(theirs) and await echoes(admins)
        await changed(node, NAME, allowed_roles=["admin"])
        assert await ended(theirs) < 3
        assert await echoes(admins) and await echoes(elsewhere)


async def test_what_came_by_a_gated_route_ends_when_the_route_is_removed(node):
    async with (
        channel(node.http_port, NAME, "operator") as theirs,
        channel(node.http_port, "admins.cloud.test", "admin") as others,
    ):
        _, routes = await node.call("GET", "/api/proxy/routes")
        (id,) = [route["id"] for route in routes if route["hostname"] == NAME]
        assert (await node.call("DELETE", f"/api/proxy/routes/{id}"))[0] == 204
        assert await echoes(theirs), "it is not applied yet"
        await node.apply()
        assert await ended(theirs) < 3
        await asyncio.sleep(1.5)
        assert await echoes(others)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "app.localhost"])
async def test_what_came_while_a_route_was_open_ends_when_it_is_gated(door_node, backend, users, host):
    app, other = await backend("chat"), await backend("other")
    node = await door_node(providing(Users, users))
    await node.route("open.cloud.test", f"{host}:{app.port}")
    await node.route("still.cloud.test", other.addr)
    await node.apply()
    async with (
        channel(node.http_port, "open.cloud.test") as anybodys,
        channel(node.http_port, "still.cloud.test") as others,
    ):
        await changed(node, "open.cloud.test", require_auth=True)
        assert await ended(anybodys) < 2
        assert await echoes(others), "it leads elsewhere"
    async with channel(node.http_port, "open.cloud.test", "viewer") as theirs:
        await changed(node, "open.cloud.test", rate_limit=None, max_body_mb=5)
        await asyncio.sleep(1)
        assert await echoes(theirs), "it was gated already"


async def test_what_came_while_a_place_was_open_ends_when_another_route_of_it_is_gated(door_node, backend, users):
    app = await backend("chat")
    node = await door_node(providing(Users, users))
    route = await node.route("open.cloud.test", app.addr)
    await node.apply()
    async with channel(node.http_port, "open.cloud.test") as anybodys:
        await node.call("DELETE", f"/api/proxy/routes/{route['id']}")
        await node.route("open.cloud.test", app.addr, require_auth=True)
        await node.apply()
        assert await ended(anybodys) < 2


async def test_a_stream_and_a_download_end_too(node, users):
    async with (
        httpx.AsyncClient(timeout=WITHIN) as client,
        client.stream(
            "GET",
            f"http://127.0.0.1:{node.http_port}/ticks",
            headers={"Host": NAME, "Authorization": "Bearer viewer"},
        ) as answer,
    ):
        assert answer.status_code == 200
        users.set("usr_viewer", None)
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in answer.aiter_bytes():
                pass


@pytest.mark.parametrize("http2", [False, True])
async def test_over_tls_they_end_too(door_node, backend, users, http2):
    app = await backend("chat")
    node = await door_node(providing(Users, users), route_certificates="internal")
    await node.route(NAME, app.addr, require_auth=True)
    await node.apply()
    headers = {"Host": NAME, "Authorization": "Bearer viewer"}
    extensions = {"sni_hostname": NAME}
    async with httpx.AsyncClient(timeout=WITHIN, verify=False, http1=not http2, http2=http2) as client:
        url = f"https://127.0.0.1:{node.https_port}/"

        async def ready():
            with contextlib.suppress(httpx.TransportError):
                return (await client.get(url, headers=headers, extensions=extensions)).status_code == 200

        await node.until(ready)
        async with client.stream("GET", url + "ticks", headers=headers, extensions=extensions) as answer:
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            users.set("usr_viewer", None)
            with pytest.raises(httpx.TransportError):
                async for _ in answer.aiter_bytes():
                    pass


@contextlib.asynccontextmanager
async def by_http2(door_node, backend, users):
    """Give a client of one HTTP/2 connection, a node of a narrow and a wide route, and how to ask for a page."""
    app = await backend("chat")
    node = await door_node(providing(Users, users), route_certificates="internal")
    await node.route("admins.cloud.test", app.addr, require_auth=True, allowed_roles=["admin"])
    await node.route(NAME, app.addr, require_auth=True)
    await node.apply()
    async with httpx.AsyncClient(timeout=WITHIN, verify=False, http1=False, http2=True) as client:

        def page(name, bearer, path="/"):
            headers = {"Host": name, "Authorization": f"Bearer {bearer}"}
            url = f"https://127.0.0.1:{node.https_port}{path}"
            return client.build_request("GET", url, headers=headers, extensions={"sni_hostname": NAME})

        async def ready():
            with contextlib.suppress(httpx.TransportError):
                return (await client.send(page(NAME, "admin"))).status_code == 200

        await node.until(ready)
        yield node, client, page


@pytest.mark.parametrize("later", [(NAME, "admin"), (NAME, "operator")])
async def test_a_stream_ends_with_its_own_right_whatever_came_later_by_its_connection(door_node, backend, users, later):
    async with by_http2(door_node, backend, users) as (node, client, page):
        answer = await client.send(page("admins.cloud.test", "admin", "/ticks"), stream=True)
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
        assert (await client.send(page(*later))).status_code == 200
        assert node.host.ctx("proxy").use(OpenVisits).known == 1, "they came by one connection"
        users.set("usr_admin", Principal("user", "usr_admin", "admin", Role.VIEWER, "usr_admin"))
        with pytest.raises(httpx.TransportError):
            async with asyncio.timeout(WITHIN):
                async for _ in answer.aiter_bytes():
                    pass


async def test_a_connection_of_very_many_rights_is_ended(door_node, backend, users):
    async with by_http2(door_node, backend, users) as (node, client, page):
        visits, ended = node.host.ctx("proxy").use(OpenVisits), []
        answer = await client.send(page(NAME, "viewer", "/ticks"), stream=True)
        (peer,) = visits._rights
        for number in range(RIGHTS - 2):
            visits.note(peer, VisitRight("usr_viewer", None, "Bearer viewer", f"viewer,{number}"), shared=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                async for _ in answer.aiter_bytes():
                    pass
                ended.append("too early")
        assert not ended
        answer = await client.send(page(NAME, "viewer", "/ticks"), stream=True)
        visits.note(peer, VisitRight("usr_viewer", None, "Bearer viewer", "viewer,more"), shared=True)
        with pytest.raises(httpx.TransportError):
            async with asyncio.timeout(WITHIN):
                async for _ in answer.aiter_bytes():
                    pass


async def test_with_http1_the_last_right_of_a_connection_is_the_only_one(node, users):
    """A web server in front sends many people by one connection, one after the other."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        url = f"http://127.0.0.1:{node.http_port}"
        for bearer in ("viewer", "operator"):
            async with session.get(url, headers={"Host": NAME, "Authorization": f"Bearer {bearer}"}) as answer:
                assert answer.status == 200
                await answer.read()  # what is not read to its end costs the connection
        headers = {"Host": NAME, "Authorization": "Bearer operator"}
        async with session.ws_connect(f"{url}/ws", headers=headers) as channel:
            assert node.host.ctx("proxy").use(OpenVisits).known == 1
            users.set("usr_viewer", None)
            await asyncio.sleep(1)
            assert await echoes(channel)


async def test_a_change_in_the_moment_between_the_question_and_the_switch_is_not_missed(node, users, monkeypatch):
    """The app is slow to take the WebSocket; the user goes meanwhile."""
    opening = asyncio.create_task(_hold(node))
    await asyncio.sleep(0.2)
    users.set("usr_viewer", None)
    await asyncio.wait_for(opening, WITHIN)


async def _hold(node):
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write(
        f"POST /slow HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer viewer\r\nContent-Length: 5\r\n\r\n".encode()
    )
    assert await reader.read() == b"", "it is hung up before anything is answered"
    writer.close()


async def test_connections_by_the_thousand_are_forgotten_when_they_are_closed(node):
    visits = node.host.ctx("proxy").use(OpenVisits)
    for number in range(6000):
        visits.note(("192.0.2.1", number), VisitRight("usr_viewer", None, "Bearer viewer", ""))
    async with channel(node.http_port, NAME, "viewer"):
        await node.until(lambda: visits.known < 10)
        assert visits.known == 1, "and those that are open are not"


async def test_where_connections_cannot_be_ended_streams_have_a_limit(door_node, backend, users, monkeypatch):
    def refused(pidfd, number):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(connections, "copy_socket", refused)
    app = await backend("chat")
    node = await door_node(providing(Users, users))
    await node.route(NAME, app.addr, require_auth=True)
    await node.route("open.cloud.test", app.addr)
    await node.apply()
    assert not node.host.ctx("proxy").use(CaddySupervisor).ends_connections
    routes = (await node.running())["apps"]["http"]["servers"]["http"]["routes"]
    bounds = {
        route["match"][0]["host"][0]: route["handle"][-1].get("stream_timeout")
        for route in routes
        if "host" in route.get("match", [{}])[0]
    }
    assert bounds == {NAME: "300s", "open.cloud.test": None}


async def test_what_could_not_be_ended_for_want_of_descriptors_is_ended_at_the_next_look(node, users, monkeypatch):
    real, tried = connections.copy_socket, []

    def exhausted(pidfd, number):
        tried.append(number)
        if len(tried) == 1:
            raise OSError(errno.EMFILE, "too many open files")
        return real(pidfd, number)

    async with channel(node.http_port, NAME, "viewer") as found:
        monkeypatch.setattr(connections, "copy_socket", exhausted)
        users.set("usr_viewer", None)
        await ended(found)
    assert len(tried) > 1
    assert node.host.ctx("proxy").use(CaddySupervisor).ends_connections, "it passes"


def test_a_peer_is_read_whole_or_not_at_all():
    assert peer_of("127.0.0.1 80") == ("127.0.0.1", 80)
    assert peer_of("::ffff:127.0.0.1 80") == ("127.0.0.1", 80)
    assert peer_of("2001:db8::1 443") == ("2001:db8::1", 443)
    for text in (None, "", "127.0.0.1", "127.0.0.1 x", "a 80", "127.0.0.1 -1", " 80", "127.0.0.1 \u0661"):
        assert peer_of(text) is None, text


async def test_with_the_real_sign_in_it_ends_by_sign_out_disabling_and_revocation(tmp_path, backend, caddy_program):
    app = await backend("chat")
    with run(tmp_path, app.addr, "http") as node:
        users = {name: node.user(name, "operator") for name in ("going", "leaving", "staying")}
        tokens = {name: node.sign_in(**who)["access_token"] for name, who in users.items()}
        key = node.key("proxy:read")
        async with (
            channel(node.port, GIT, tokens["going"]) as going,
            channel(node.port, GIT, tokens["leaving"]) as leaving,
            channel(node.port, GIT, tokens["staying"]) as staying,
            channel(node.port, GIT, key["key"]) as keyed,
        ):
            headers = {"Authorization": f"Bearer {tokens['going']}"}
            out = await asyncio.to_thread(httpx.post, f"{node.server.url}/api/auth/logout", headers=headers)
            assert out.status_code == 204
            await ended(going)
            (one,) = [user for user in node.api.get("/api/users").json() if user["username"] == "leaving"]
            disabled = node.api.put(f"/api/users/{one['id']}", json={"disabled": True})
            assert disabled.status_code == 200, disabled.text
            await ended(leaving)
            assert node.api.delete(f"/api/keys/{key['id']}").status_code == 204
            await ended(keyed)
            assert await echoes(staying)


async def test_a_browser_that_came_by_the_gates_cookie_is_put_out_too(tmp_path, backend, caddy_program):
    app = await backend("chat")
    with run(tmp_path, app.addr, "http") as node, browser() as visitor:
        await asyncio.to_thread(node.enter, visitor, **node.user("going", "admin"))
        assert (await asyncio.to_thread(visitor.get, node.at(WIKI))).status_code == 200
        cookies = "; ".join(f"{c.name}={c.value}" for c in visitor.cookies.jar if c.domain.startswith(WIKI))
        csrf = visitor.csrf_token
        async with channel(node.port, WIKI, Cookie=cookies) as theirs:
            out = await asyncio.to_thread(visitor.post, f"{node.url}/api/auth/logout", headers={"X-CSRF-Token": csrf})
            assert out.status_code == 204
            await ended(theirs)
