"""Each plugin's background work goes on after the database was away for a while."""

import asyncio
import re

import pytest
from components.outage import disk_error

PLUGINS = ("auth", "audit", "notes", "memory", "alerts", "webhooks", "system", "proxy", "apps", "backups", "dashboard")


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
    assert host.host.host_record.health.ok


OPEN_ENDED = ("/api/events", "/api/system/metrics/stream")


async def test_no_endpoint_answers_500_while_the_database_is_away(cloudos, outage):
    host = await cloudos(*PLUGINS)
    await host.anonymous.post("/api/auth/setup", json={"username": "admin", "password": "a long password"})
    tokens = await host.anonymous.post("/api/auth/login", json={"username": "admin", "password": "a long password"})
    headers = {"Authorization": f"Bearer {(await tokens.get_json())['access_token']}"}
    broken = outage(host.host.db)
    broken.error, broken.on = disk_error(), True
    answers = {}
    for rule in host.host.app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x1", rule.rule)
        if rule.websocket or path.startswith(OPEN_ENDED) or path == "/api/auth/logout":
            continue
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            body = {} if method == "GET" else {"json": {}}
            try:
                async with asyncio.timeout(20):
                    answer = await host.anonymous.request(method, path, headers=headers, **body)
                    said = await answer.get_json(silent=True)
                    answers[method, path] = answer.status_code, said.get("error") if isinstance(said, dict) else None
            except TimeoutError:
                answers[method, path] = 0, "no answer"
    assert {key: status for key, (status, _) in answers.items() if status in (0, 500)} == {}
    refused = {key: error for key, (status, error) in answers.items() if status == 503}
    assert list(refused.values()).count("database_broken") > 20, refused
    broken.on = False


async def test_metrics_that_cannot_be_written_are_told_and_kept(cloudos, outage):
    host = await cloudos("system")
    broken = outage(host.host.db)
    broken.error, broken.on = disk_error(), True
    for _ in range(14):
        await host.clock.advance(10)
    async with asyncio.timeout(10):
        while host.record("system").health.ok:
            await host.clock.advance(10)
            await host.host.health.check()
    assert "cannot be written" in host.record("system").health.detail
    broken.on = False
    async with asyncio.timeout(10):
        while not host.record("system").health.ok:
            await host.clock.advance(10)
            await host.host.health.check()
