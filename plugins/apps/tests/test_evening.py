"""What an operator meets in an evening: crashes that mend themselves, updates to what is there, installs made again."""

from __future__ import annotations

import asyncio

from app_node import CHECK, make_template, web_template
from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.monitoring.engine_events import EngineEvents
from cloudos_apps.monitoring.metrics import AppMetrics
from cloudos_apps.monitoring.reconciler import Reconciler
from cloudos_apps.plugin import MetricSource
from cloudos_apps.store import AppStore

ONCE = "test -e /data/died || { touch /data/died; sleep 2; exit 5; }; while true; do sleep 1; done"


def dying(node, name="dying"):
    node.offer(
        make_template(
            name,
            {
                "name": "main",
                "image": node.engine.image("web:1.0"),
                "user": "0:0",
                "volumes": [{"name": "data", "path": "/data"}],
                "command": ["sh", "-c", ONCE],
            },
        )
    )


async def test_a_crash_that_is_told_after_the_restart_leaves_the_app_running(node, monkeypatch):
    last_lines, begun = DockerEngine.last_lines, asyncio.Event()

    async def read_late(self, container, *args, **kwargs):
        begun.set()
        async with asyncio.timeout(20):
            while "running" not in [state.status for state in await self.states()] or not node.restarted(container):
                await asyncio.sleep(0.05)
        for _ in range(20):
            await asyncio.sleep(0.05)  # the event of the start is there
        return await last_lines(self, container, *args, **kwargs)

    node.restarted = lambda id: node.engine.cli("inspect", "-f", "{{.RestartCount}}", id).strip() != "0"
    monkeypatch.setattr(DockerEngine, "last_lines", read_late)
    dying(node)
    app = await node.install("dying", "dying")
    async with asyncio.timeout(15):
        await begun.wait()
    crashed, again = await node.event("app.crashed", 15), await node.event("app.started", 15)
    assert again.seq > crashed.seq
    assert (await node.app(app["id"]))["status"] == "running"


async def test_an_app_that_runs_while_its_row_says_crashed_is_found(node):
    app = await node.install()
    await node.host.ctx("apps").use(AppStore).change(app["id"], status="crashed", error="it was missed")
    reconciler: Reconciler = node.host.ctx("apps").use(EngineEvents)._reconciler
    await reconciler.settle_crashed()
    found = await node.app(app["id"])
    assert (found["status"], found.get("error")) == ("running", None)


async def test_the_newest_version_again_changes_nothing(node):
    app = await node.install()
    before = node.containers(app["id"])
    answer = await node.client.put(f"/api/apps/{app['id']}", json={"version": "latest"})
    assert answer.status_code in (200, 202)
    assert (await answer.get_json())["status"] == "running"
    assert node.containers(app["id"]) == before and not await node.events("app.updated")
    answer = await node.client.put(f"/api/apps/{app['id']}", json={"config": {"greeting": "other"}})
    assert (await answer.get_json())["status"] == "updating"


async def test_an_install_does_not_wait_for_the_first_check_of_the_engine(node):
    node.offer(web_template(node.engine, healthcheck={**CHECK, "interval_s": 600}))
    app = await node.install()  # which waits for 15 s at most
    (name,) = node.containers(app["id"])
    assert node.engine.cli("inspect", "-f", "{{.State.Health.Status}}", name).strip() == "starting"


async def test_what_a_failed_install_left_goes_before_it_is_made_again(node):
    first = await node.install(name="shop")
    store, (volume,) = node.host.ctx("apps").use(AppStore), node.volumes()
    node.engine.cli("rm", "-f", *node.containers(first["id"]))
    await store.change(first["id"], status="failed", intended="stopped", error="the engine went away", ports="{}")
    assert volume in node.volumes()
    second = await node.install(name="shop")
    assert [name for name in node.volumes() if name == volume] == []
    assert len(node.volumes()) == 1 and second["id"] != first["id"]


async def test_statistics_go_on_from_the_sample_that_the_metrics_took(node, monkeypatch):
    app = await node.install()
    ctx = node.host.ctx("apps")
    metrics = next(source for source in ctx.all(MetricSource) if isinstance(source, AppMetrics))
    await metrics.sample()
    asked, usage = [], DockerEngine.usage

    async def counted(self, container):
        asked.append(container)
        return await usage(self, container)

    monkeypatch.setattr(DockerEngine, "usage", counted)
    assert (await node.client.get(f"/api/apps/{app['id']}/stats")).status_code == 200
    assert len(asked) == 1
