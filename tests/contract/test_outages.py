"""Each plugin's background work goes on after the database was away for a while."""

import asyncio

import pytest

PLUGINS = ("auth", "audit", "notes", "memory", "alerts", "webhooks", "system", "proxy", "apps", "dashboard")


def alive(host, plugin):
    return {task.get_name() for task in host.ctx(plugin).tasks._running if not task.done()}


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_what_works_in_the_background_outlives_an_outage(cloudos, outage, plugin):
    host = await cloudos(*dict.fromkeys(["notes", plugin]))
    await asyncio.sleep(0.1)
    before, broken = alive(host, plugin), outage(host.host.db)
    assert host.ctx(plugin).tasks.trouble() is None
    broken.on = True
    host.host.events._committed()
    for _ in range(12):
        await host.clock.advance(30)
    broken.on = False
    for _ in range(10):
        await host.clock.advance(31)
        await asyncio.sleep(0.02)
    once = {name for name in before if any(word in name for word in ("unfinished", "load of MCP", "notes to index"))}
    assert before - once <= alive(host, plugin)
    assert host.ctx(plugin).tasks.trouble() is None
    await host.host.health.check()
    assert host.host.own.health.ok
