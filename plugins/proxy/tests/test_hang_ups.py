"""Whoever hangs up while a change of domains or routes is stored has made it all the same."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

from cloudos_proxy.routes.store import RouteStore
from cloudos_sdk.capabilities import AppAddress, Apps
from cloudos_sdk.testing.fakes import FakeApps, providing
from components.caddy import DoorNode


@asynccontextmanager
async def writer_held(node: DoorNode):
    """Hold the database's writer: what is asked for meanwhile waits behind it."""
    go, begun = threading.Event(), threading.Event()

    def wait(session):
        begun.set()
        go.wait(10)

    db = node.host.ctx("proxy").db
    task = asyncio.create_task(db.write(wait))
    await asyncio.to_thread(begun.wait, 10)
    try:
        yield db._queue
    finally:
        go.set()
        await task


async def hang_up(node, queue, *request):
    """Ask, and go away once the change waits for the database."""
    before = queue.qsize()
    asking = asyncio.create_task(node.call(*request))
    await node.until(lambda: queue.qsize() > before)
    asking.cancel()
    await asyncio.wait([asking], timeout=0.1)
    return asking


async def listed(node):
    return [each["domain"] for each in (await node.call("GET", "/api/domains"))[1]]


async def test_a_domain_that_is_gone_is_listed_no_more(door_node):
    node = await door_node()
    _, made = await node.call("POST", "/api/domains", {"domain": "cloud.example.test", "auto_ssl": False})
    async with writer_held(node) as queue:
        asking = await hang_up(node, queue, "DELETE", f"/api/domains/{made['id']}")
        assert await listed(node) == ["cloud.example.test"], "it is there until the commit"
    await asyncio.wait([asking])
    assert await listed(node) == []


async def test_a_domain_that_was_added_is_served(door_node, backend):
    app = await backend("wiki")
    apps = FakeApps(AppAddress("app_abc123", "wiki", "running", app.addr))
    node = await door_node(providing(Apps, apps))
    body = {"domain": "cloud.example.test", "app_id": "app_abc123", "auto_ssl": False}
    async with writer_held(node) as queue:
        asking = await hang_up(node, queue, "POST", "/api/domains", body)
    await asyncio.wait([asking])
    assert await listed(node) == ["cloud.example.test"]
    answer = await node.visit("cloud.example.test", "/x")
    assert answer.status == 200, "Caddy has what the database has"


async def test_routes_are_locked_until_the_commit(door_node):
    node = await door_node()
    routes = node.host.ctx("proxy").use(RouteStore)
    body = {"hostname": "git.example.test", "upstream_type": "manual", "upstream_addr": "192.0.2.9:80"}
    async with writer_held(node) as queue:
        asking = await hang_up(node, queue, "POST", "/api/proxy/routes", body)
        assert routes.lock.locked(), "nobody decides by routes that are about to change"
    await asyncio.wait([asking])
    assert routes.at("git.example.test") is not None
