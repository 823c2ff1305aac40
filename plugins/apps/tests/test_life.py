"""Apps that run: start, stop, restart, crashes, and what others do to them by the docker command."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from app_node import make_template
from cloudos_apps.engine.errors import DockerUnreachable
from cloudos_apps.plugin import manifest
from cloudos_apps.settings import AppsSettings


async def press(node, app, action, status=200):
    answer = await node.client.post(f"/api/apps/{app['id']}/{action}")
    body = await answer.get_json()
    assert answer.status_code == status, body
    return body


def only(node, app):
    (name,) = node.containers(app["id"])
    return name


async def test_an_app_stops_starts_and_restarts(node):
    app = await node.install()
    assert (await press(node, app, "stop"))["status"] == "stopped"
    assert (await press(node, app, "stop"))["status"] == "stopped"
    assert node.engine.cli("inspect", "-f", "{{.State.Running}}", only(node, app)) == "false"
    assert (await press(node, app, "start"))["status"] == "running"
    assert await node.fetch(app) == "hello from web"
    before = node.engine.cli("inspect", "-f", "{{.State.StartedAt}}", only(node, app))
    assert (await press(node, app, "restart"))["status"] == "running"
    assert node.engine.cli("inspect", "-f", "{{.State.StartedAt}}", only(node, app)) != before
    await asyncio.sleep(0.5)
    assert (await node.app(app["id"]))["status"] == "running"
    names = [event.type for event in await node.events() if event.type.startswith("app.")]
    assert names == ["app.installed", "app.stopped", "app.started", "app.restarted"]


async def test_the_list_shows_each_change_at_once(node):
    async def listed():
        return {
            app["id"]: (app["status"], app["operation_id"])
            for app in await (await node.client.get("/api/apps")).get_json()
        }

    app = await node.install()
    assert (await listed())[app["id"]][0] == "running"
    assert (await listed())[app["id"]][0] == "running"
    await press(node, app, "stop")
    assert (await listed())[app["id"]][0] == "stopped"
    await press(node, app, "start")
    assert (await listed())[app["id"]][0] == "running"
    answer = await node.client.put(f"/api/apps/{app['id']}", json={"config": {"greeting": "good day"}})
    change = await answer.get_json()
    assert answer.status_code == 202, change
    assert (await listed())[app["id"]][1] == change["operation_id"] != app["operation_id"]
    await node.until(app["id"], "running")
    assert (await listed())[app["id"]][0] == "running"
    assert (await node.client.delete(f"/api/apps/{app['id']}")).status_code == 204
    assert await listed() == {}


async def test_an_app_that_ignores_the_request_to_stop_is_ended_by_force_and_has_not_crashed(node):
    node.offer(make_template("deaf", {"name": "main", "image": node.engine.image("stubborn:1.0")}))
    app = await node.install("deaf", "deaf")
    assert (await press(node, app, "stop"))["status"] == "stopped"
    await asyncio.sleep(0.5)
    assert (await node.app(app["id"]))["status"] == "stopped"
    assert not await node.events("app.crashed")


async def test_a_kill_behind_our_back_is_a_crash(node):
    app = await node.install()
    node.engine.cli("kill", only(node, app))
    crashed = await node.event("app.crashed")
    assert (crashed.resource, crashed.data["exit_code"], crashed.data["service"]) == (app["id"], 137, "web")
    assert "serving" in crashed.data["logs"]
    assert crashed.actor.kind == "system"
    assert (await node.app(app["id"]))["status"] == "crashed"
    assert (await press(node, app, "start"))["status"] == "running"
    assert await node.fetch(app) == "hello from web"
    assert len(await node.events("app.crashed")) == 1


@pytest.mark.parametrize("late", [0, 1.5], ids=["at once", "after it was started again"])
async def test_a_program_that_ends_by_itself_is_a_crash_and_the_engine_starts_it_again(node, monkeypatch, late):
    from cloudos_apps.engine.client import DockerEngine

    last_lines = DockerEngine.last_lines

    async def read_late(*args, **kwargs):
        await asyncio.sleep(late)
        return await last_lines(*args, **kwargs)

    monkeypatch.setattr(DockerEngine, "last_lines", read_late)
    dying = "echo one more try; sleep 2; exit 5"
    node.offer(
        make_template("dying", {"name": "main", "image": node.engine.image("web:1.0"), "command": ["sh", "-c", dying]})
    )
    app = await node.install("dying", "dying")
    crashed = await node.event("app.crashed", 6)
    assert (crashed.data["exit_code"], crashed.data["logs"]) == (5, ["one more try"])
    again = await node.event("app.started", 4)
    assert again.seq > crashed.seq and again.resource == app["id"]
    await node.client.post(f"/api/apps/{app['id']}/stop")


async def test_a_docker_stop_behind_our_back_is_no_crash(node):
    app = await node.install()
    node.engine.cli("stop", only(node, app))
    await node.until(app["id"], "stopped", seconds=2)
    node.engine.cli("start", only(node, app))
    await node.until(app["id"], "running", seconds=2)
    node.engine.cli("restart", only(node, app))
    await asyncio.sleep(0.5)
    assert (await node.app(app["id"]))["status"] == "running"
    names = [event.type for event in await node.events() if event.type.startswith("app.")]
    assert names == ["app.installed", "app.stopped", "app.started"]


async def test_containers_that_somebody_removed_are_made_again_by_a_start(node):
    app = await node.install()
    node.engine.cli("rm", "-f", only(node, app))
    await node.until(app["id"], "crashed", seconds=2)
    assert (await press(node, app, "start"))["status"] == "running"
    assert await node.fetch(app) == "hello from web"


async def test_what_happened_while_the_host_was_down_is_seen_at_its_start(node):
    killed, stopped = await node.install("web", "killed"), await node.install("web", "stopped")
    names = only(node, killed), only(node, stopped)
    await node.host.stop()
    node.engine.cli("kill", names[0])
    node.engine.cli("stop", names[1])
    await node.host.start()
    await node.restart_clients()
    await node.until(killed["id"], "crashed")
    await node.until(stopped["id"], "stopped")
    (crashed,) = await node.events("app.crashed")
    assert (crashed.resource, crashed.data["exit_code"]) == (killed["id"], 137)


async def test_a_stop_that_the_host_did_not_finish_is_finished_at_its_next_start(node, monkeypatch):
    from cloudos_apps.engine.client import DockerEngine

    app, reached = await node.install(), asyncio.Event()

    async def stuck(self, container, seconds):
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(DockerEngine, "stop", stuck)
        asking = asyncio.create_task(node.client.post(f"/api/apps/{app['id']}/stop"))
        await reached.wait()
        await node.host.stop()
        await asyncio.gather(asking, return_exceptions=True)
    await node.host.start()
    await node.restart_clients()
    await node.until(app["id"], "stopped")
    assert node.engine.cli("inspect", "-f", "{{.State.Running}}", only(node, app)) == "false"


async def test_an_engine_that_goes_away_and_comes_back_is_survived(node):
    app = await node.install()
    node.engine.stop()
    try:
        listed = await (await node.client.get("/api/apps")).get_json()
        assert [found["id"] for found in listed] == [app["id"]]
        for method, path in (("POST", "stop"), ("GET", "logs"), ("GET", "stats")):
            answer = await node.client.request(method, f"/api/apps/{app['id']}/{path}")
            error = await answer.get_json()
            assert (answer.status_code, error["error"]) == (503, "docker_unavailable")
            assert "start" in error["message"] and answer.headers["Retry-After"]
        assert (await node.post({"template": "web", "name": "other"}))[0] == 503
        assert not await node.well()
    finally:
        node.engine.start()
    end = time.monotonic() + 10
    while not await node.well() or (await node.app(app["id"]))["status"] != "running":
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    assert await node.fetch(app) == "hello from web"
    node.engine.cli("kill", only(node, app))
    await node.until(app["id"], "crashed", seconds=2)
    assert (await press(node, app, "start"))["status"] == "running"


async def test_a_node_without_an_engine_starts_and_says_what_is_missing(cloudos, tmp_path):
    host = await cloudos("apps", settings={"apps": {"docker_host": f"unix://{tmp_path}/none.sock"}})
    assert host.state("apps") == "running"
    assert await (await host.client.get("/api/apps")).get_json() == []
    answer = await host.client.post("/api/apps", json={"template": "gitea", "name": "git"})
    error = await answer.get_json()
    assert (answer.status_code, error["error"]) == (503, "docker_unavailable")
    assert "docker.io" in error["message"]
    (component,) = manifest.components
    with pytest.raises(DockerUnreachable, match=r"none\.sock"):
        component.probe(AppsSettings(docker_host=f"unix://{tmp_path}/none.sock"))
    assert component.install == "apt-get install docker.io"


async def test_two_nodes_on_one_engine_leave_each_other_alone(node, cloudos, docker_engine, tmp_path_factory):
    from cloudos_apps.engine.client import DockerEngine

    app = await node.install()
    stranger = DockerEngine(docker_engine.host, "node_another")
    assert await stranger.states() == [] and await stranger.networks() == set()
    stranger.close()
    labels = json.loads(node.engine.cli("inspect", "-f", "{{json .Config.Labels}}", only(node, app)))
    assert labels["cloudos.node"].startswith("node_")
