"""Answers that stay open end with the rights that they were opened with; each user has a share of them."""

import asyncio
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from cloudos_sdk import Manifest, Mount, Permission, Policy, Role, hookimpl, requires
from cloudos_sdk.http import stream
from quart import Blueprint, websocket
from quart.testing.connections import WebsocketDisconnectError

from cloudos_host.http.gate import Gate
from tests.host.boot_plugins import notes_plugin

ROOT = {"username": "root", "password": "a long password"}
ADA = {"username": "ada", "password": "another password"}


def open_plugin():
    module = ModuleType("opened")
    module.manifest = Manifest(
        title="Opened",
        prefixes=("/api/opened", "/mounted"),
        permissions=(Permission("opened:read", "See", Role.OPERATOR),),
    )
    routes = Blueprint("opened", "opened")

    async def lines():
        n = 0
        while True:
            yield f"{n}\n".encode()
            n += 1
            await asyncio.sleep(0.02)

    async def archive():
        for part in (b"first", b"second"):
            yield part
            await module.more.wait()

    async def silence():
        yield b"0\n"
        await asyncio.Event().wait()

    @routes.get("/api/opened/lines")
    @requires("opened:read")
    async def followed():
        return stream(lines(), "application/x-ndjson", live=True)

    @routes.get("/api/opened/silence")
    @requires("opened:read")
    async def silent():
        return stream(silence(), "text/event-stream")

    module.reached, module.go, module.more = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @routes.websocket("/api/opened/late")
    @requires("opened:read")
    async def late():
        module.reached.set()
        await module.go.wait()
        await websocket.accept()
        await asyncio.Event().wait()

    @routes.get("/api/opened/export")
    @requires("opened:read")
    async def export():
        return stream(archive(), "application/zip")

    @routes.websocket("/api/opened/socket")
    @requires("opened:read")
    async def socket():
        await websocket.send("0\n")
        await asyncio.Event().wait()

    async def raw(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "0\n"})
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"0\n", "more_body": True})
        await asyncio.Event().wait()

    @hookimpl
    def cloudos_routes():
        return [routes]

    @hookimpl
    def cloudos_mounts():
        return [Mount("/mounted", raw, Policy(access="permission", permission="opened:read"))]

    module.cloudos_routes, module.cloudos_mounts = cloudos_routes, cloudos_mounts
    return module


@pytest.fixture
async def node(cloudos):
    module = open_plugin()
    host = await cloudos("auth", module, settings={"auth": {"bcrypt_cost": 4}}, streams_per_user=3)
    await host.anonymous.post("/api/auth/setup", json=ROOT)
    host.module = module
    host.root = await signed_in(host, ROOT)
    made = await host.anonymous.post("/api/users", json={**ADA, "role": "admin"}, headers=host.root)
    host.ada = await made.get_json()
    host.bearer = await signed_in(host, ADA)
    return host


async def signed_in(host, account):
    answer = await host.anonymous.post("/api/auth/login", json=account)
    return {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}


async def ask(host, method, path, bearer, body=None):
    answer = await host.anonymous.request(method, path, headers=bearer, json=body)
    assert answer.status_code < 300, await answer.get_data()
    return None if answer.status_code == 204 else await answer.get_json()


async def demote(host):
    await ask(host, "PUT", f"/api/users/{host.ada['id']}", host.root, {"role": "viewer"})


async def disable(host):
    await ask(host, "PUT", f"/api/users/{host.ada['id']}", host.root, {"disabled": True})


async def delete(host):
    await ask(host, "DELETE", f"/api/users/{host.ada['id']}", host.root)


async def reset(host):
    await ask(host, "PUT", f"/api/users/{host.ada['id']}", host.root, {"password": "set by an admin"})


async def sign_out(host):
    await ask(host, "POST", "/api/auth/logout", host.bearer)


async def change_elsewhere(host):
    here = await signed_in(host, ADA)
    body = {"current_password": ADA["password"], "new_password": "the next password"}
    await ask(host, "POST", "/api/auth/change-password", here, body)


CHANGES = [demote, disable, delete, reset, sign_out, change_elsewhere]


async def opened(host, path, bearer=None):
    """Open an answer and return when its first bytes are there."""
    connection = host.host.app.test_client().request(path, headers=bearer or host.bearer)
    await connection.__aenter__()
    await connection.send_complete()
    async with asyncio.timeout(5):
        await connection.receive()
    return connection


@pytest.mark.parametrize("path", ["/api/opened/lines", "/api/opened/silence", "/api/events", "/mounted"])
@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
async def test_an_open_answer_ends_with_what_its_caller_may_do(node, path, change):
    connection = await opened(node, path)
    await change(node)
    await ended(node)
    await connection.disconnect()


async def ended(node):
    async with asyncio.timeout(3):
        while node.host.app.open_answers._open:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/api/opened/socket", "/mounted"])
@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
async def test_a_websocket_ends_with_what_its_caller_may_do(node, path, change):
    async with asyncio.timeout(5):
        with pytest.raises(WebsocketDisconnectError) as closed:
            async with node.host.app.test_client().websocket(path, headers=node.bearer) as socket:
                assert await socket.receive() == "0\n"
                await change(node)
                await socket.receive()
    assert closed.value.args[0] == 1008


@asynccontextmanager
async def listening(node):
    """Serve the node on a port; yield that and what stops it."""
    from hypercorn.asyncio import serve

    from cloudos_host.http import hypercorn_fast_path

    config, stop = hypercorn_fast_path.FastPathConfig(), asyncio.Event()
    config.bind, config.accesslog, config.errorlog, config.graceful_timeout = ["127.0.0.1:0"], None, None, 1
    (listening,) = config.create_sockets().insecure_sockets
    listening.listen(10)
    port, config.bind = listening.getsockname()[1], [f"fd://{listening.fileno()}"]
    serving = asyncio.create_task(serve(node.host.app, config, shutdown_trigger=stop.wait))
    yield port
    stop.set()
    await serving


def head(node, path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {node.bearer['Authorization']}\r\n\r\n".encode()


async def test_a_client_of_an_ended_answer_is_told_the_end_and_one_that_does_not_read_holds_nobody(node, monkeypatch):
    async with listening(node) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        _, silent = await asyncio.open_connection("127.0.0.1", port, limit=1)
        for each in (writer, silent):
            each.write(head(node, "/api/opened/lines"))
        await reader.readuntil(b"\r\n\r\n")
        await demote(node)
        async with asyncio.timeout(3):
            said = await reader.readuntil(b"\r\n0\r\n\r\n")
        assert said.endswith(b"0\r\n\r\n"), "the last chunk (RFC 9112, 7.1)"
        await ended(node)
        for each in (writer, silent):
            each.close()


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
async def test_a_download_is_cut_short_with_what_its_caller_may_do_and_does_not_look_whole(node, change):
    async with listening(node) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(node, "/api/opened/export"))
        await reader.readuntil(b"first\r\n")
        await change(node)
        node.module.more.set()
        async with asyncio.timeout(3):
            rest = await reader.read()
        assert rest == b"", "neither what came later nor the last chunk (RFC 9112, 7.1)"
        await ended(node)
        writer.close()


async def test_a_download_is_drained_when_the_host_stops(node):
    async with listening(node) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(node, "/api/opened/export"))
        await reader.readuntil(b"first\r\n")
        node.host.app.open_answers.end_all()
        node.module.more.set()
        async with asyncio.timeout(3):
            assert (await reader.readuntil(b"\r\n0\r\n\r\n")).endswith(b"second\r\n0\r\n\r\n")
        writer.close()


async def test_what_an_api_key_has_open_ends_with_the_key(node):
    key = await ask(node, "POST", "/api/keys", node.bearer, {"name": "k", "scopes": ["opened:read"]})
    connection = await opened(node, "/api/opened/silence", {"Authorization": f"Bearer {key['key']}"})
    await ask(node, "DELETE", f"/api/keys/{key['id']}", node.root)
    await ended(node)
    await connection.disconnect()


async def test_a_websocket_whose_caller_was_demoted_before_it_was_open_does_not_stay(node):
    async with asyncio.timeout(5):
        with pytest.raises(WebsocketDisconnectError) as closed:
            async with node.host.app.test_client().websocket("/api/opened/late", headers=node.bearer) as socket:
                await node.module.reached.wait()
                await demote(node)
                node.module.go.set()
                await socket.receive()
    assert closed.value.args[0] == 1008


async def test_a_change_of_somebody_else_ends_nothing(node):
    connection = await opened(node, "/api/opened/silence")
    await ask(node, "POST", "/api/auth/logout", await signed_in(node, ROOT))
    await ask(node, "POST", "/api/auth/logout", await signed_in(node, ADA))
    await asyncio.sleep(0.1)
    assert len(node.host.app.open_answers._open) == 1
    await connection.disconnect()


async def test_after_a_demotion_not_one_more_event_of_an_admin_is_sent(node, monkeypatch):
    connection = await opened(node, "/api/events")
    go, real = asyncio.Event(), Gate.readmits

    async def slow(gate, answer):
        await go.wait()
        return await real(gate, answer)

    monkeypatch.setattr(Gate, "readmits", slow)
    await demote(node)
    go.set()
    await ended(node)
    said = b""
    while not connection._receive_queue.empty():
        said += await connection.receive() or b""
    assert b"user.changed" not in said
    await connection.disconnect()


async def test_a_token_that_has_expired_ends_what_is_silent(node, monkeypatch):
    connection = await opened(node, "/api/opened/silence")
    await node.clock.advance(16 * 60)
    await node.host.app.open_answers._judge_all(list(node.host.app.open_answers._open))
    await ended(node)
    await connection.disconnect()


async def test_each_user_has_a_share_of_what_is_open(node):
    held = [await opened(node, "/api/opened/silence") for _ in range(3)]
    refused = await node.anonymous.get("/api/opened/silence", headers=node.bearer)
    assert (refused.status_code, (await refused.get_json())["error"]) == (429, "too_many_streams")
    assert "Retry-After" in refused.headers
    assert (await node.anonymous.get("/api/auth/me", headers=node.bearer)).status_code == 200
    other = await opened(node, "/api/opened/silence", node.root)
    await held.pop().disconnect()
    async with asyncio.timeout(3):
        while len(node.host.app.open_answers._open) > 3:
            await asyncio.sleep(0.01)
    held.append(await opened(node, "/api/opened/silence"))
    for connection in (*held, other):
        await connection.disconnect()


async def test_long_work_is_seen_and_cancelled_by_its_owner_and_admins_only(cloudos):
    module = notes_plugin()
    host = await cloudos(module)
    body = {"text": "their file names"}
    id = (await (await host.operator.post("/api/jotter/long", json=body)).get_json())["operation_id"]
    async with asyncio.timeout(5):
        await module.entered.wait()
    path = f"/api/operations/{id}"
    assert (await host.viewer.get(path)).status_code == 404
    assert (await host.viewer.post(f"{path}/cancel")).status_code == 404
    assert await (await host.viewer.get("/api/operations")).get_json() == []
    assert (await host.viewer.get(f"/api/operations?before={id}")).status_code == 400
    for client in (host.operator, host.admin):
        assert (await client.get(path)).status_code == 200
        assert [o["id"] for o in await (await client.get("/api/operations")).get_json()] == [id]
    assert (await host.operator.post(f"{path}/cancel")).status_code == 202


async def test_why_a_plugin_is_down_is_told_to_those_who_may_see_the_plugins(cloudos):
    module = notes_plugin()

    def fails():
        raise RuntimeError("postgresql://secret@db")

    module.cloudos_routes = hookimpl(fails)
    host = await cloudos(module)
    told = await host.viewer.get("/api/jotter/graph")
    assert (told.status_code, "secret" in (await told.get_json())["message"]) == (503, True)
    for path in ("/api/jotter/graph", "/api/jotter/nothing"):
        hidden = await host.anonymous.get(path)
        body = await hidden.get_json()
        assert (hidden.status_code, body["error"], body["plugin"]) == (503, "plugin_unavailable", "jotter")
        assert "secret" not in str(body)
