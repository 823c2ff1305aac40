"""Nobody notices an apply; and what happens to Caddy itself is mended by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import aiohttp
import psutil
import pytest
from cloudos_proxy.caddy import process
from cloudos_proxy.caddy.reuseport import PLACES
from cloudos_proxy.caddy.supervisor import CaddySupervisor


async def change_size(node, route, size):
    await node.call("PUT", f"/api/proxy/routes/{route['id']}", {"max_body_mb": size})
    outcome = await node.apply()
    assert outcome["applied"] == 1, outcome


async def answers(node, hostname):
    """Tell whether a certificate is there already."""
    try:
        return (await Visitors(node, hostname, secure=True).come()).status == 200
    except (aiohttp.ClientError, OSError):
        return False


class Visitors:
    """Visitors who open a new connection for each request, until told to go."""

    def __init__(self, node, hostname, *, secure=False, count=6):
        self._node, self._hostname, self._secure, self._count = node, hostname, secure, count
        self._going = True
        self.served, self.failed = 0, []

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._visit()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *_):
        self._going = False
        await asyncio.gather(*self._tasks)

    async def _visit(self):
        while self._going:
            try:
                answer = await self.come()
                assert answer.status == 200, answer
                self.served += 1
            except (aiohttp.ClientError, OSError, AssertionError) as error:
                self.failed.append(repr(error))

    async def come(self):
        if not self._secure:
            return await self._node.visit(self._hostname)
        url, headers = f"https://127.0.0.1:{self._node.https_port}/", {"Host": self._hostname}
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=False, server_hostname=self._hostname) as answer,
        ):
            await answer.read()
            return answer


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_no_request_fails_while_routes_are_applied(door_node, backend, secure):
    certificates = "internal" if secure else "none"
    node, app = await door_node(drain_seconds=0.3, route_certificates=certificates), await backend()
    await node.route("steady.example.com", app.addr)
    other = await node.route("other.example.com", app.addr)
    await node.apply()
    pid = node.pid()
    if secure:
        await node.until(lambda: answers(node, "steady.example.com"))
    async with Visitors(node, "steady.example.com", secure=secure) as visitors:
        for size in range(1, 16):
            await change_size(node, other, size)
    assert visitors.served > 50 and visitors.failed == []
    assert node.pid() == pid


async def test_a_request_that_was_begun_before_an_apply_is_read_to_its_end(door_node, backend):
    node, app = await door_node(drain_seconds=5), await backend()
    route = await node.route("a.example.com", app.addr)
    await node.apply()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write(b"GET / HT")
    await asyncio.sleep(0.2)  # it is taken now
    began = time.monotonic()
    await change_size(node, route, 7)
    assert time.monotonic() - began < 4, "an apply does not wait for the visitors of before"
    assert (await node.visit("a.example.com")).status == 200
    writer.write(b"TP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"200"
    writer.close()


async def test_a_connection_that_said_nothing_yet_is_served_some_applies_later(door_node, backend):
    node, app = await door_node(), await backend()
    route = await node.route("a.example.com", app.addr)
    await node.apply()
    opened = []
    for size in range(1, PLACES - 1):  # one for each place in the ring that is still listened on
        opened.append(await asyncio.open_connection("127.0.0.1", node.http_port))
        await change_size(node, route, size)
    for reader, writer in opened:
        writer.write(b"GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == b"200"
        writer.close()


@pytest.mark.parametrize("lossless", [True, False])
async def test_websockets_and_streams_live_through_applies(door_node, backend, lossless):
    node, app = await door_node(lossless_reload=lossless), await backend("app")
    await node.route("a.example.com", app.addr)
    other = await node.route("other.example.com", app.addr)
    await node.apply()
    where, name = f"http://127.0.0.1:{node.http_port}", {"Host": "a.example.com"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{where}/ws", headers=name) as channel,
        session.get(f"{where}/ticks", headers=name) as ticks,
    ):
        for size in range(1, 6):
            await change_size(node, other, size)
            await channel.send_str(str(size))
            assert (await channel.receive(timeout=5)).data == f"app: {size}"
        assert (await ticks.content.readline()) == b"data: 0\n", "a stream is passed on as it comes"
        assert b"data: 49\n" in await ticks.content.read()


async def test_a_caddy_that_is_killed_is_back_and_connections_wait_for_it(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("a.example.com", app.addr)
    await node.apply()
    async with Visitors(node, "a.example.com") as visitors:
        for _ in range(2):
            await asyncio.sleep(0.3)
            before, pid = visitors.served, node.pid()
            os.kill(pid, signal.SIGKILL)
            await node.until(lambda before=before, pid=pid: node.pid() not in (None, pid) and visitors.served > before)
    refused = [error for error in visitors.failed if "refused" in error.lower()]
    assert refused == [], "the port stays open while Caddy is away"
    assert len(visitors.failed) <= 2 * 6, "only what was under way at that moment is lost"
    assert (await node.call("GET", "/api/proxy/status"))[1]["trouble"] is None


async def test_nothing_is_left_running_when_the_host_stops(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("a.example.com", app.addr)
    await node.apply()
    pid, folder = node.pid(), node.host.ctx("proxy").data_dir
    assert (folder / "admin.sock").stat().st_mode & 0o777 == 0o600
    await node.host.stop()
    assert not psutil.pid_exists(pid)
    with pytest.raises(OSError):
        await node.visit("a.example.com")


async def test_keep_running_serves_on_and_is_taken_up_again(door_node, backend):
    node, app = await door_node(keep_running=True, drain_seconds=0.3), await backend()
    route = await node.route("a.example.com", app.addr)
    await node.apply()
    pid = node.pid()
    await node.host.stop()
    assert (await node.visit("a.example.com")).status == 200, "the host is down, the sites are up"
    await node.host.start()
    await node.until(lambda: node.pid() == pid)
    async with Visitors(node, "a.example.com") as visitors:
        for size in range(1, PLACES + 2):
            await change_size(node, route, size)
    assert visitors.failed == [], "newcomers are sent to the new servers by this host too"
    assert node.pid() == pid
    os.kill(pid, signal.SIGKILL)  # not a child of this host, and yet missed
    await node.until(lambda: node.pid() not in (None, pid))

    async def served():
        return (await node.visit("a.example.com")).status == 200

    assert await node.until(served)
    await end(node)


async def test_a_caddy_whose_sockets_cannot_be_had_is_taken_up_all_the_same(door_node, backend, monkeypatch):
    node, app = await door_node(keep_running=True), await backend()
    route = await node.route("a.example.com", app.addr)
    await node.apply()
    await change_size(node, route, 6)
    pid = node.pid()
    await node.host.stop()

    def refused(pidfd, numbers):
        raise PermissionError("not allowed")

    monkeypatch.setattr(process, "copy_sockets", refused)
    await node.host.start()
    await node.until(lambda: node.pid() == pid)
    for size in (7, 8):
        await change_size(node, route, size)
        assert (await node.visit("a.example.com")).status == 200
    assert node.pid() == pid
    await end(node)


async def test_a_caddy_that_runs_something_else_is_put_right_at_the_start(door_node, backend):
    node, app = await door_node(keep_running=True), await backend()
    await node.route("a.example.com", app.addr)
    await node.apply()
    wanted, pid = await node.running(), node.pid()
    socket = node.host.ctx("proxy").data_dir / "admin.sock"
    await node.host.stop()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        await session.post("http://caddy/load", json={"admin": wanted["admin"]})  # an apply that was cut short
    await node.host.start()

    async def right():
        return node.pid() == pid and await node.running() == wanted

    await node.until(right)
    assert (await node.visit("a.example.com")).status == 200
    await end(node)


async def test_a_caddy_left_over_is_ended_where_it_is_not_to_keep_running(door_node, backend):
    node, app = await door_node(keep_running=True), await backend()
    await node.route("a.example.com", app.addr)
    await node.apply()
    pid = node.pid()
    await node.host.stop()
    again = await door_node(http_port=node.http_port, https_port=node.https_port)
    await again.until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert again.pid() != pid


async def test_an_apply_that_is_quicker_than_the_clearing_at_the_start_keeps_its_caddy(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("a.example.com", app.addr)
    await node.apply()
    pid = node.pid()
    await node.host.ctx("proxy").use(CaddySupervisor).clear()
    assert node.pid() == pid
    assert (await node.visit("a.example.com")).status == 200


async def end(node):
    """Stop a node that leaves its Caddy running, and end that."""
    pid = node.pid()
    await node.host.stop()
    os.kill(pid, signal.SIGTERM)
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.05)
