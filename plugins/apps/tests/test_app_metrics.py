"""What apps use, as series of the node."""

from __future__ import annotations

import asyncio

from app_node import Node, make_template
from cloudos_apps.monitoring.metrics import METRICS
from cloudos_sdk.capabilities import MetricSource
from cloudos_sdk.testing.contracts import check_metric_source


def source(node: Node):
    return node.host.ctx("apps").use(MetricSource)


async def values(node: Node):
    """Return the values of one sampling by metric and app."""
    return {(sample.name, sample.labels[0][1]): sample.value for sample in await source(node).sample()}


async def test_an_app_has_series_of_cpu_memory_network_and_restarts(node):
    busy = {
        "name": "main",
        "image": node.engine.image("web:1.0"),
        "command": ["/bin/sh", "-c", "while true; do :; done"],
    }
    node.offer(make_template("busy", busy))
    blog, loop = await node.install(), await node.install("busy", "loop")
    first = await values(node)
    assert ("app.memory.usage_mb", blog["id"]) in first and ("app.cpu.usage_percent", blog["id"]) not in first
    await asyncio.sleep(1)
    for _ in range(20):
        await node.fetch(blog)
    found = await values(node)
    assert {name for name, app in found if app == blog["id"]} == {metric.name for metric in METRICS}
    assert 15 < found["app.cpu.usage_percent", loop["id"]] < 75, "it may have half a core"
    assert found["app.cpu.usage_percent", blog["id"]] < found["app.cpu.usage_percent", loop["id"]]
    assert 0 < found["app.memory.usage_mb", blog["id"]] < 64
    assert found["app.network.rx_bytes_per_sec", blog["id"]] > found["app.network.rx_bytes_per_sec", loop["id"]]
    assert found["app.network.tx_bytes_per_sec", blog["id"]] > 0
    assert found["app.restarts", blog["id"]] == 0
    await check_metric_source(source(node))


async def test_an_app_that_does_not_run_has_no_series_but_its_restarts(node):
    blog = await node.install()
    await values(node)
    await node.client.post(f"/api/apps/{blog['id']}/stop")
    assert {name for name, _ in await values(node)} == {"app.restarts"}


async def test_containers_of_one_app_are_added_up(node):
    services = [{"name": name, "image": node.engine.image("chatty:1.0")} for name in ("one", "two")]
    node.offer(make_template("pair", *services))
    pair = await node.install("pair", "pair")
    found = await values(node)
    assert [app for name, app in found if name == "app.memory.usage_mb"] == [pair["id"]]


async def test_many_containers_are_measured_within_the_time_that_a_sampler_gives(node):
    services = [{"name": f"s{number}", "image": node.engine.image("chatty:1.0")} for number in range(12)]
    node.offer(make_template("many", *services))
    many = await node.install("many", "many")
    async with asyncio.timeout(5):
        found = await values(node)
    assert found["app.memory.usage_mb", many["id"]] > 0


async def test_restarts_by_the_engine_are_counted(node, monkeypatch):
    from cloudos_apps.monitoring import metrics

    monkeypatch.setattr(metrics, "_COUNTED", 0.0)
    script = (
        "if [ -e /data/again ]; then trap 'exit 0' TERM; while true; do sleep 0.2; done; fi; touch /data/again; exit 3"
    )
    service = {
        "name": "main",
        "image": node.engine.image("web:1.0"),
        "command": ["/bin/sh", "-c", script],
        "volumes": [{"name": "data", "path": "/data"}],
    }
    node.offer(make_template("fickle", service))
    status, app = await node.post({"template": "fickle", "name": "fickle"})
    assert status == 201
    async with asyncio.timeout(15):
        while True:
            if (await values(node)).get(("app.restarts", app["id"])) == 1:
                return
            await asyncio.sleep(0.2)


async def test_without_an_engine_there_are_no_series_and_no_error(cloudos, tmp_path):
    host = await cloudos("apps", settings={"apps": {"docker_host": f"unix://{tmp_path}/nothing.sock"}})
    assert list(await host.ctx("apps").use(MetricSource).sample()) == []


async def test_the_node_shows_what_its_apps_use(cloudos, docker_engine):
    settings = {"docker_host": docker_engine.host, "settle_seconds": 0.2, "min_free_mb": 1, "stop_seconds": 1}
    node = Node(await cloudos("apps", "system", settings={"apps": settings}), docker_engine)
    node.offer(make_template("chatty", {"name": "main", "image": docker_engine.image("chatty:1.0")}))
    try:
        app = await node.install("chatty", "chatty")
        async with asyncio.timeout(20):
            while True:
                await node.host.clock.advance(10)
                shown = await (await node.viewer.get("/api/system/apps/metrics")).get_json()
                if shown["apps"][0]["cpu_percent"] is not None:
                    break
                await asyncio.sleep(0.2)
        assert (shown["apps"][0]["app_id"], shown["apps"][0]["status"]) == (app["id"], "running")
        assert shown["total"]["apps"] == 1 and shown["total"]["memory_usage_mb"] > 0
    finally:
        await node.host.stop()
        docker_engine.clean()
