"""Routes that come and go with apps, by event."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from cloudos_sdk import Manifest, hookimpl
from cloudos_sdk.capabilities import AppAddress, Apps
from cloudos_sdk.events import AppInstalled, AppInstallFailed, AppUninstalled, AppUpdated
from cloudos_sdk.testing.fakes import FakeApps
from components.ports import free_ports


class Shop:
    """The apps of a test: installs and removes them as the apps plugin does."""

    def __init__(self):
        self.fake = FakeApps()
        self.module = ModuleType("fake_shop")
        self.ctx = None

        @hookimpl
        @asynccontextmanager
        async def cloudos_lifespan(ctx):
            self.ctx = ctx
            ctx.provide(Apps, self.fake)
            yield

        events = (AppInstalled, AppInstallFailed, AppUpdated, AppUninstalled)
        self.module.manifest = Manifest(title="Shop", provides=(Apps,), emits=events)
        self.module.cloudos_lifespan = cloudos_lifespan

    async def emit(self, event):
        await self.ctx.db.write(lambda session: self.ctx.events.emit(session, event))

    async def install(self, id, name, addr):
        self.fake.apps[id] = AppAddress(id, name, "running", addr)
        await self.emit(AppInstalled(resource=id, name=name, template=name))

    async def move(self, id, addr):
        app = self.fake.apps[id]
        self.fake.apps[id] = AppAddress(id, app.name, "running", addr)
        await self.emit(AppUpdated(resource=id, name=app.name))

    async def uninstall(self, id):
        name = self.fake.apps.pop(id).name
        await self.emit(AppUninstalled(resource=id, name=name, purged=False))


@pytest.fixture
def shop():
    return Shop()


async def named(node, hostname):
    _, listed = await node.call("GET", "/api/proxy/routes")
    return next((route for route in listed if route["hostname"] == hostname), None)


async def test_installing_an_app_makes_its_route_which_is_repointed_and_not_deleted(door_node, backend, shop):
    api, blog, other = await backend("api"), await backend("blog"), await backend("other")
    node = await door_node(shop.module, base_domain="home.test", api_addr=api.addr)
    await shop.install("app_1", "blog", blog.addr)
    route = await node.until(lambda: named(node, "blog.home.test"))
    assert (route["upstream_type"], route["upstream_id"], route["status"]) == ("app", "app_1", "pending")
    assert (await node.apply())["applied"] == 2
    assert (await node.visit("blog.home.test")).json["name"] == "blog"
    assert (await node.visit("home.test")).json["name"] == "api"
    status, error = await node.call("DELETE", f"/api/proxy/routes/{route['id']}")
    assert (status, error["error"]) == (409, "route_protected")
    body = {"upstream_type": "manual", "upstream_addr": other.addr}
    assert (await node.call("PUT", f"/api/proxy/routes/{route['id']}", body))[0] == 200
    await node.apply()
    assert (await node.visit("blog.home.test")).json["name"] == "other"


async def test_an_app_that_is_installed_while_the_node_knows_it_has_one_route(door_node, backend, shop):
    blog = await backend("blog")
    shop.fake.apps["app_1"] = AppAddress("app_1", "blog", "running", blog.addr)
    node = await door_node(shop.module, base_domain="home.test")
    await node.until(lambda: named(node, "blog.home.test"))
    await shop.install("app_1", "blog", blog.addr)
    await shop.install("app_2", "wiki", blog.addr)
    await node.until(lambda: named(node, "wiki.home.test"))
    _, listed = await node.call("GET", "/api/proxy/routes")
    assert sorted(r["hostname"] for r in listed) == ["blog.home.test", "home.test", "wiki.home.test"]


async def test_an_uninstalled_app_is_served_no_longer_under_any_name(door_node, backend, shop):
    blog, wiki = await backend("blog"), await backend("wiki")
    node = await door_node(shop.module, base_domain="home.test", ui_addr=wiki.addr)
    await shop.install("app_1", "blog", blog.addr)
    await shop.install("app_2", "wiki", wiki.addr)
    await node.until(lambda: named(node, "wiki.home.test"))
    body = {"hostname": "news.example.com", "upstream_type": "app", "upstream_id": "app_1"}
    await node.call("POST", "/api/proxy/routes", body)
    assert (await node.apply())["applied"] == 4
    await shop.uninstall("app_1")

    async def gone():
        return (await node.visit("news.example.com")).status == 404

    await node.until(gone)
    assert (await node.visit("blog.home.test")).status == 404
    assert (await node.visit("wiki.home.test")).status == 200
    assert await named(node, "blog.home.test") is None

    async def told():
        route = await named(node, "news.example.com")
        return route["status"] == "error" and route["error"]

    assert "app_1" in await node.until(told)
    body = {"hostname": "more.example.com", "upstream_type": "manual", "upstream_addr": wiki.addr}
    await node.call("POST", "/api/proxy/routes", body)
    outcome = await node.apply()
    assert (outcome["applied"], [error["hostname"] for error in outcome["errors"]]) == (1, ["news.example.com"])
    updated = [event for event in await node.host.event_log() if event.type == "route.updated"]
    assert "blog was uninstalled" in updated[0].details
    route = await named(node, "news.example.com")
    assert (await node.call("DELETE", f"/api/proxy/routes/{route['id']}"))[0] == 204
    assert (await node.apply())["errors"] == []


async def test_a_domain_of_an_uninstalled_app_leads_to_none(door_node, backend, shop):
    blog = await backend("blog")
    node = await door_node(shop.module)
    await shop.install("app_1", "blog", blog.addr)
    body = {"domain": "blog.example.test", "app_id": "app_1", "auto_ssl": False}
    _, made = await node.call("POST", "/api/domains", body)
    await shop.uninstall("app_1")

    async def free():
        return (await node.call("GET", "/api/domains"))[1] == [{**made, "app_id": None}]

    await node.until(free)
    changed = [event for event in await node.host.event_log() if event.type == "domain.changed"]
    assert [(event.resource, "uninstalled" in event.details) for event in changed] == [(made["id"], True)]


async def test_what_was_uninstalled_unseen_is_parked_at_the_start(door_node, backend, shop):
    blog = await backend("blog")
    node = await door_node(shop.module, base_domain="home.test", ui_addr=blog.addr)
    await shop.install("app_1", "blog", blog.addr)
    await node.until(lambda: named(node, "blog.home.test"))
    body = {"hostname": "news.example.com", "upstream_type": "app", "upstream_id": "app_1"}
    await node.call("POST", "/api/proxy/routes", body)
    del shop.fake.apps["app_1"]
    await node.host.restart()

    async def parked():
        route = await named(node, "news.example.com")
        return route["status"] == "error"

    async def gone():
        return await named(node, "blog.home.test") is None

    await node.until(parked)
    await node.until(gone)


async def test_a_failed_install_leaves_no_route_and_blocks_nobody(door_node, backend, shop):
    blog = await backend("blog")
    shop.fake.apps["app_1"] = AppAddress("app_1", "half", "failed", None)
    shop.fake.apps["app_2"] = AppAddress("app_2", "blog", "running", blog.addr)
    node = await door_node(shop.module, base_domain="home.test", ui_addr=blog.addr)
    await node.until(lambda: named(node, "blog.home.test"))
    assert await named(node, "half.home.test") is None
    assert (await node.apply())["applied"] == 2
    shop.fake.apps["app_2"] = AppAddress("app_2", "blog", "failed", None)
    route = await named(node, "blog.home.test")
    assert (await node.call("DELETE", f"/api/proxy/routes/{route['id']}"))[0] == 204
    await shop.emit(AppInstallFailed(resource="app_2", name="blog", template="blog", reason="x"))
    assert (await node.apply())["errors"] == []


async def test_a_stopped_app_holds_up_no_other_route(door_node, backend, shop):
    blog = await backend("blog")
    (port,) = free_ports(1)
    node = await door_node(shop.module, base_domain="home.test", ui_addr=blog.addr)
    await shop.install("app_1", "blog", f"127.0.0.1:{port}")
    await node.until(lambda: named(node, "blog.home.test"))
    outcome = await node.apply()
    assert (outcome["applied"], [error["hostname"] for error in outcome["errors"]]) == (1, ["blog.home.test"])
    assert (await node.visit("home.test")).status == 200


async def test_an_app_that_moves_is_followed(door_node, backend, shop):
    old, new = await backend("old"), await backend("new")
    node = await door_node(shop.module, base_domain="home.test", ui_addr=old.addr)
    await shop.install("app_1", "blog", old.addr)
    await node.until(lambda: named(node, "blog.home.test"))
    await node.apply()
    await shop.move("app_1", new.addr)

    async def moved():
        return (await node.visit("blog.home.test")).json["name"] == "new"

    await node.until(moved)
    assert len((await node.call("GET", "/api/proxy/history"))[1]) == 1


async def test_an_app_without_an_address_is_told_and_one_that_there_is_not_is_refused(door_node, backend, shop):
    node = await door_node(shop.module)
    shop.fake.apps["app_2"] = AppAddress("app_2", "cron", "running", None)
    body = {"hostname": "a.example.com", "upstream_type": "app", "upstream_id": "app_none"}
    status, problem = await node.call("POST", "/api/proxy/routes", body)
    assert (status, problem["fields"][0]["path"]) == (400, "upstream_id") and "app_none" in problem["message"]
    _, made = await node.call("POST", "/api/proxy/routes", {**body, "upstream_id": "app_2"})
    status, problem = await node.call("PUT", f"/api/proxy/routes/{made['id']}", {"upstream_id": "app_none"})
    assert (status, problem["fields"][0]["path"]) == (400, "upstream_id")
    outcome = await node.apply()
    assert outcome["applied"] == 0
    assert [error["message"] for error in outcome["errors"]] == ["The app cron does not serve HTTP."]
