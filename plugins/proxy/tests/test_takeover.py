"""The web ports, where nginx or Apache holds them: taken, given back, and shared by the snippets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess

import httpx
import psutil
import pytest
from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.models import Takeover
from cloudos_proxy.ports.owners import PortOwner
from cloudos_proxy.ports.process_control import StopFailed, Systemd
from cloudos_proxy.ports.takeover import TakeoverService
from components.ports import free_ports
from components.web_servers import listens
from sqlmodel import select

TAKEOVER = "/api/settings/proxy/takeover"
SNIPPET = "/api/settings/proxy/coexist-snippet"


def holder(port):
    """Return the name of the program that listens on a port."""
    found = {c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    return {psutil.Process(pid).name() for pid in found if pid}


async def text_at(port):
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://127.0.0.1:{port}/")).text


async def test_a_server_that_holds_the_ports_is_stopped_when_confirmed_and_comes_back(door_node, backend, web_server):
    app = await backend("app")
    http, https = free_ports(2)
    with web_server.run(web_server.serving(http, "the old site"), http):
        node = await door_node(http_port=http, https_port=https)
        name = holder(http).pop()
        await node.route("app.cloud.test", app.addr)
        status, problem = await node.call("POST", "/api/proxy/apply")
        assert status == 503 and name in problem["message"], problem
        status, found = await node.call("GET", TAKEOVER)
        assert status == 200
        (held,) = found["held_by"]
        assert (held["name"], held["ports"], held["how"]) == (name, [http], "process")

        status, problem = await node.call("POST", TAKEOVER, {})
        assert (status, problem["error"]) == (409, "takeover_requires_confirm")
        assert name in problem["message"] and problem["would_stop"] == [held]
        assert await text_at(http) == "the old site"

        status, done = await node.call("POST", TAKEOVER, {"confirm": True})
        assert (status, done["stopped"]) == (200, [held])
        assert not listens(http)
        await node.apply()
        assert (await node.visit("app.cloud.test")).json["name"] == "app"
        _, found = await node.call("GET", TAKEOVER)
        assert found["held_by"] == [] and [taken["name"] for taken in found["taken"]] == [name]

        await node.host.restart()
        status, done = await node.call("POST", "/api/settings/proxy/release")
        assert (status, done.get("started")) == (200, [name]), done
        await node.until(lambda: listens(http))
        assert await text_at(http) == "the old site"
        assert holder(http) == {name}
        assert (await node.call("POST", "/api/settings/proxy/release"))[1]["error"] == "nothing_taken"
        kinds = [event.type for event in await node.host.event_log() if event.type.startswith("web-ports")]
        assert kinds == ["web-ports.taken", "web-ports.released"]


async def test_what_was_stopped_is_kept_encrypted(door_node, web_server):
    http, https = free_ports(2)
    with web_server.run(web_server.serving(http, "old"), http):
        node = await door_node(http_port=http, https_port=https)
        assert (await node.call("POST", TAKEOVER, {"confirm": True}))[0] == 200
        row = await node.host.ctx("proxy").db.read(lambda s: s.exec(select(Takeover)).one())
        assert "PATH" not in row.restart and str(web_server.folder) not in row.restart
        assert (await node.call("POST", "/api/settings/proxy/release"))[0] == 200


async def test_an_apply_that_comes_while_the_ports_are_given_back_does_not_take_them(door_node, backend):
    node, app = await door_node(), await backend()
    route = await node.route("app.cloud.test", app.addr)
    await node.apply()
    async with node.host.ctx("proxy").use(CaddySupervisor).ports_yielded():
        await node.call("PUT", f"/api/proxy/routes/{route['id']}", {"max_body_mb": 1})
        applying = asyncio.create_task(node.call("POST", "/api/proxy/apply"))
        await asyncio.sleep(0.5)
        other = socket.create_server(("127.0.0.1", node.http_port))
    with other:
        status, problem = await applying
        assert (status, problem["error"]) == (503, "port_in_use")


async def test_a_server_that_is_back_already_is_not_started_twice(door_node, web_server):
    http, https = free_ports(2)
    part = web_server.serving(http, "old")
    with web_server.run(part, http):
        node = await door_node(http_port=http, https_port=https)
        assert (await node.call("POST", TAKEOVER, {"confirm": True}))[0] == 200
        async with asyncio.timeout(10):  # it takes its file along at its very end, whose ever that is by then
            while (web_server.folder / "pid").exists():
                await asyncio.sleep(0.05)
        with web_server.run(part, http):
            running = (web_server.folder / "pid").read_text()
            assert (await node.call("POST", "/api/settings/proxy/release"))[0] == 200
            assert (web_server.folder / "pid").read_text() == running
            assert (await node.call("GET", TAKEOVER))[1]["taken"] == []


async def test_nothing_in_the_way_needs_no_word(door_node):
    node = await door_node()
    assert await node.call("POST", TAKEOVER, {}) == (
        200,
        {"ports": [node.http_port, node.https_port], "stopped": []},
    )


async def test_only_an_admin_takes_and_gives(door_node):
    node = await door_node()
    for method, path in (("GET", TAKEOVER), ("POST", TAKEOVER), ("POST", "/api/settings/proxy/release")):
        body = {} if path == TAKEOVER and method == "POST" else None
        for client in (node.host.operator, node.host.viewer):
            assert (await node.call(method, path, body, client=client))[0] == 403, path
    assert (await node.call("GET", f"{SNIPPET}?proxy=nginx", client=node.host.operator))[0] == 403


async def test_our_own_caddy_is_never_in_the_way(door_node, backend):
    app = await backend("app")
    node = await door_node()
    await node.route("app.cloud.test", app.addr)
    await node.apply()
    assert (await node.call("GET", TAKEOVER))[1]["held_by"] == []
    assert (await node.call("POST", TAKEOVER, {"confirm": True}))[1]["stopped"] == []
    assert (await node.visit("app.cloud.test")).status == 200


@pytest.mark.parametrize(("how", "code"), [("container", "held_by_container"), ("unknown", "holder_unknown")])
async def test_what_is_not_ours_to_stop_is_refused_with_the_way(door_node, monkeypatch, how, code):
    node = await door_node()
    held = PortOwner(1, "docker-proxy", (80,), how, container="at 172.17.0.2" if how == "container" else None)

    async def occupied(self):
        return [held]

    monkeypatch.setattr(TakeoverService, "_held", occupied)
    status, problem = await node.call("POST", TAKEOVER, {"confirm": True})
    assert (status, problem["error"]) == (409, code)
    assert how != "container" or problem["command"].startswith("docker ps --filter publish=80")


async def test_a_port_of_a_container_is_seen_as_one(docker_engine, door_node):
    http, https = free_ports(2)
    name = f"holder-{http}"
    docker_engine.cli("run", "-d", "--name", name, "-p", f"127.0.0.1:{http}:8000", docker_engine.image("web:1.0"))
    try:
        node = await door_node(http_port=http, https_port=https)
        (held,) = (await node.call("GET", TAKEOVER))[1]["held_by"]
        assert held["how"] == "container"
        status, problem = await node.call("POST", TAKEOVER, {"confirm": True})
        assert (status, problem["error"]) == (409, "held_by_container")
        assert str(http) in problem["command"]
    finally:
        docker_engine.cli("rm", "-f", name)


def test_a_unit_is_disabled_and_enabled_again_only_where_it_was(tmp_path):
    said, command = tmp_path / "said", tmp_path / "systemctl"
    command.write_text(
        f'#!/bin/sh\necho "$*" >>{said}\n[ "$*" = "is-enabled --quiet off.service" ] && exit 1\nexit 0\n'
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    systemd = Systemd(str(command))
    assert systemd.is_enabled("nginx.service") and not systemd.is_enabled("off.service")
    systemd.stop("nginx.service")
    systemd.start("nginx.service", enable=True)
    systemd.start("off.service", enable=False)
    assert said.read_text().splitlines()[2:] == [
        "disable --now nginx.service",
        "enable --now nginx.service",
        "start off.service",
    ]
    command.write_text("#!/bin/sh\necho no such unit >&2\nexit 5\n")
    with pytest.raises(StopFailed, match="no such unit"):
        systemd.stop("nginx.service")
    with pytest.raises(StopFailed):
        Systemd(str(tmp_path / "none")).stop("nginx.service")


async def test_a_program_that_will_not_end_is_named_and_nothing_is_remembered(door_node, monkeypatch):
    http, https = free_ports(2)
    stubborn = (
        "import signal, socket, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"s = socket.create_server(('127.0.0.1', {http}))\nwhile True: time.sleep(1)"
    )
    monkeypatch.setattr("cloudos_proxy.ports.process_control.STOP_SECONDS", 0.5)
    process = await asyncio.to_thread(subprocess.Popen, ["python3", "-c", stubborn])
    try:
        node = await door_node(http_port=http, https_port=https)
        await node.until(lambda: listens(http))
        status, problem = await node.call("POST", TAKEOVER, {"confirm": True})
        assert (status, problem["error"]) == (503, "takeover_failed")
        assert str(process.pid) in problem["message"]
        assert (await node.call("GET", TAKEOVER))[1]["taken"] == []
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


async def test_the_nginx_snippet_is_as_printed_and_right_for_the_ports(cloudos):
    host = await cloudos("proxy", settings={"proxy": {}})
    answer = await host.client.get(f"{SNIPPET}?proxy=nginx")
    assert answer.content_type.startswith("text/plain")
    lines = [line.strip() for line in (await answer.get_data(as_text=True)).splitlines()]
    printed = [
        "# Paste inside your existing nginx http {} block",
        "server {",
        "listen 80;",
        "listen 443 ssl;",
        "server_name _;",
        "# Forward everything to Quazzar on the alternate port",
        "location / {",
        "proxy_pass http://127.0.0.1:8443;",
        "proxy_set_header Host $host;",
        "proxy_set_header X-Real-IP $remote_addr;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "}",
        "}",
    ]
    assert [line for line in lines if line in printed] == printed, "every printed line, in its order"
    for query in ("", "?proxy=", "?proxy=caddy", "?proxy=nginx&port=1"):
        assert (await host.client.get(SNIPPET + query)).status_code == 400


async def test_a_request_passes_through_both_proxies(door_node, backend, web_server):
    app = await backend("app")
    http, https, alternate = free_ports(3)
    node = await door_node(mode="coexist", coexist_port=alternate, http_port=http, https_port=https)
    await node.route("app.cloud.test", app.addr)
    await node.apply()
    answer = await node.host.client.get(f"{SNIPPET}?proxy={web_server.kind}")
    snippet = await answer.get_data(as_text=True)
    listening = f"Listen 127.0.0.1:{http}\nListen 127.0.0.1:{https}\n" if web_server.kind == "apache" else ""
    assert await asyncio.to_thread(web_server.test, listening + snippet) == ""
    assert await asyncio.to_thread(web_server.test, listening + snippet.replace("X-Real-IP", "", 1) + "oops;") != ""
    with web_server.run(listening + snippet, http):
        for scheme, port in (("http", http), ("https", https)):
            async with httpx.AsyncClient(verify=False) as client:
                through = await client.get(
                    f"{scheme}://127.0.0.1:{port}/deep?a=b", headers={"Host": "app.cloud.test", "X-Real-IP": "9.9.9.9"}
                )
            told = through.json()
            assert (told["name"], told["path"]) == ("app", "/deep?a=b")
            headers = {name.lower(): value for name, value in told["headers"].items()}
            assert headers["x-forwarded-proto"] == scheme
            assert headers["host"] == "app.cloud.test"
            assert headers["x-forwarded-for"].startswith("127.0.0.1")
        import aiohttp

        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{http}/ws", headers={"Host": "app.cloud.test"}) as channel,
        ):
            await channel.send_str("hello")
            assert (await channel.receive(5)).data == "app: hello"
