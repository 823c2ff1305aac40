"""What plugins say of themselves reaches who asks; what several declare is settled at the start."""

import asyncio
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from cloudos_sdk import Health, Manifest, NotReady, Permission, Role, hookimpl
from cloudos_sdk.capabilities import ControlPanelLink


def plugin(name, **manifest):
    module = ModuleType(name)
    module.manifest = Manifest(title=name.title(), **manifest)
    return module


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (Health(False, "The engine is away."), "The engine is away."),
        (RuntimeError("broken"), "its health check failed: RuntimeError: broken"),
    ],
)
async def test_an_unwell_plugin_is_named_and_serves_on(cloudos, answer, detail):
    module = plugin("frail")

    @hookimpl
    async def cloudos_health(ctx):
        if isinstance(answer, Exception):
            raise answer
        return answer

    module.cloudos_health = cloudos_health
    host = await cloudos(module, plugin("good"))
    await host.host.health.check()

    ready = await host.anonymous.get("/api/ready")
    assert ready.status_code == 200
    assert (await ready.get_json())["degraded"] == ["frail"]
    shown = {p["id"]: p["health"] for p in await (await host.client.get("/api/plugins")).get_json()}
    assert shown["frail"] == {"ok": False, "detail": detail}
    assert shown["good"]["ok"]
    metrics = await (await host.client.get("/metrics")).get_data(as_text=True)
    assert 'cloudos_plugin_healthy{plugin="frail"} 0.0' in metrics
    assert 'cloudos_http_requests_total{plugin="host",status="200"}' in metrics


async def test_the_same_permission_for_another_role_is_refused(cloudos):
    first = plugin("first", permissions=(Permission("things:write", "Write", Role.ADMIN),))
    second = plugin("second", permissions=(Permission("things:write", "Write", Role.VIEWER),))
    host = await cloudos(first, second)

    assert host.state("first") == "running"
    assert host.record("second").reason == "it gives 'things:write' to viewers, but 'first' gives it to admins"


async def test_who_needs_a_plugin_that_waits_starts_once_it_is_there(cloudos):
    provider = plugin("provider", provides=(ControlPanelLink,))
    provider.ready = False
    needy = plugin("needy", requires=(ControlPanelLink,))

    class Link:
        def connected(self):
            return True

    @hookimpl
    @asynccontextmanager
    async def provide(ctx):
        if not provider.ready:
            raise NotReady("the panel is away")
        ctx.provide(ControlPanelLink, Link())
        yield

    @hookimpl
    @asynccontextmanager
    async def need(ctx):
        assert ctx.use(ControlPanelLink).connected()
        yield

    provider.cloudos_lifespan, needy.cloudos_lifespan = provide, need
    host = await cloudos(needy, provider)
    assert (host.state("provider"), host.state("needy")) == ("waiting", "waiting")
    provider.ready = True
    await host.clock.advance(5)
    await asyncio.sleep(0.05)
    assert (host.state("provider"), host.state("needy")) == ("running", "running")


async def test_old_events_are_pruned_but_none_that_a_reader_still_needs(cloudos):
    from boot_plugins import notes_plugin

    jotter = notes_plugin()
    host = await cloudos(jotter)
    for text in ("a", "b", "c"):
        await host.client.post("/api/jotter", json={"text": text})
    await asyncio.sleep(0.1)
    assert [e.data["text"] for e in jotter.seen] == ["a", "b", "c"]
    await host.clock.advance(1)

    assert await host.host.events.prune(host.clock.now(), ["jotter"]) == 2
    assert [e.data["text"] for e in await host.event_log()] == ["c"]

    await host.host.events._cursor("jotter:behind", 1)
    await host.client.post("/api/jotter", json={"text": "d"})
    await host.clock.advance(1)
    assert await host.host.events.prune(host.clock.now(), ["jotter"]) == 0
