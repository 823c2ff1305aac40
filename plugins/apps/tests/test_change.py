"""Changing an app, and removing it."""

from __future__ import annotations

import asyncio

import pytest
from app_node import CHECK, make_template, web_template


async def change(node, app, **body):
    answer = await node.client.put(f"/api/apps/{app['id']}", json=body)
    return answer.status_code, await answer.get_json()


async def test_new_settings_take_effect_and_the_others_stay(node):
    app = await node.install(config={"greeting": "one", "password": "first-password"})
    status, changing = await change(node, app, config={"greeting": "two"})
    assert (status, changing["status"]) == (202, "updating")
    assert (await node.operation(changing["operation_id"]))["state"] == "succeeded"
    running = await node.until(app["id"], "running")
    assert running["addr"] == app["addr"]
    assert await node.fetch(running) == "hello from two"
    assert node.containers() == [f"cloudos-{app['id']}-web-2"]
    assert "PASSWORD=first-password" in node.engine.cli("exec", node.containers()[0], "env")
    assert len(node.volumes()) == 1
    (event,) = await node.events("app.updated")
    assert event.resource == app["id"]
    assert not await node.events("app.crashed", "app.stopped")


async def test_an_app_goes_to_the_version_of_the_catalogue_and_keeps_its_data(node):
    app = await node.install()
    node.engine.cli("exec", node.containers()[0], "touch", "/data/mine")
    node.offer(web_template(node.engine, "2.0", "web:2.0"))
    status, error = await change(node, app, version="3.0")
    assert (status, error["fields"][0]["path"]) == (400, "version")
    status, changing = await change(node, app, version="2.0")
    assert status == 202
    await node.operation(changing["operation_id"])
    running = await node.until(app["id"], "running")
    assert running["version"] == "2.0"
    image = node.engine.cli("inspect", "-f", "{{.Config.Image}}", node.containers()[0])
    assert image == node.engine.image("web:2.0")
    assert node.engine.cli("exec", node.containers()[0], "ls", "/data") == "mine"


@pytest.mark.parametrize(
    ("image", "more", "reason"),
    [
        ("nothing:9.9", {}, "cannot be pulled"),
        ("crash:1.0", {}, "exit code 3"),
        ("sick:1.0", {"healthcheck": {**CHECK, "retries": 1, "start_period_s": 0}}, "did not become healthy"),
    ],
)
@pytest.mark.parametrize("settle", [1.5])
async def test_an_update_that_does_not_come_up_goes_back(node, image, more, reason):
    app = await node.install()
    kept = node.debris()
    volumes = [{"name": "data", "path": "/data"}, {"name": "cache", "path": "/cache"}]
    node.offer(web_template(node.engine, "2.0", image, volumes=volumes, **more))
    _, changing = await change(node, app, version="2.0")
    operation = await node.operation(changing["operation_id"])
    assert operation["state"] == "failed" and reason in operation["message"]
    shown = await node.app(app["id"])
    assert (shown["status"], shown["version"]) == ("running", "1.0")
    assert reason in shown["error"]
    assert await node.fetch(app) == "hello from web"
    assert node.debris() == kept
    names = [event.type for event in await node.events() if event.type.startswith("app.")]
    assert names == ["app.installed", "app.update_failed"]


@pytest.mark.parametrize("step", ["create", "stop", "start", "remove_old"])
async def test_a_host_that_dies_in_an_update_finishes_it(node, monkeypatch, step):
    from cloudos_apps.engine.client import DockerEngine

    app, reached = await node.install(), asyncio.Event()
    method = "remove_containers" if step == "remove_old" else step
    original = getattr(DockerEngine, method)

    async def stuck(self, *args, **kwargs):
        if step == "remove_old" and kwargs.get("generation") != 1:
            return await original(self, *args, **kwargs)
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(DockerEngine, method, stuck)
        _, changing = await change(node, app, config={"greeting": "two"})
        await asyncio.wait_for(reached.wait(), 10)
        await node.host.stop()
    await node.host.start()
    await node.restart_clients()
    running = await node.until(app["id"], "running")
    assert (await node.operation(changing["operation_id"]))["state"] == "succeeded"
    assert await node.fetch(running) == "hello from two"
    assert node.containers() == [f"cloudos-{app['id']}-web-2"]
    assert len(await node.events("app.updated")) == 1


async def test_a_stopped_app_is_changed_and_stays_stopped(node):
    app = await node.install()
    await node.client.post(f"/api/apps/{app['id']}/stop")
    _, changing = await change(node, app, config={"greeting": "two"})
    await node.operation(changing["operation_id"])
    assert (await node.app(app["id"]))["status"] == "stopped"
    assert node.engine.names("ps", "-q", "--filter", "label=cloudos.app") == []
    await node.client.post(f"/api/apps/{app['id']}/start")
    assert await node.fetch(app) == "hello from two"


async def test_nothing_else_may_be_done_to_an_app_while_it_is_changed(node):
    app = await node.install()
    node.offer(web_template(node.engine, "2.0", "sick:1.0", healthcheck={**CHECK, "retries": 100}))
    _, changing = await change(node, app, version="2.0")
    await node.until(app["id"], "updating")
    for method, path in (("POST", "/stop"), ("POST", "/start"), ("POST", "/restart"), ("DELETE", "")):
        async with asyncio.timeout(2):
            answer = await node.client.request(method, f"/api/apps/{app['id']}{path}")
        assert (answer.status_code, (await answer.get_json())["error"]) == (409, "app_busy")
    assert (await change(node, app, config={}))[0] == 409
    await node.client.post(f"/api/operations/{changing['operation_id']}/cancel")
    assert (await node.operation(changing["operation_id"]))["state"] == "cancelled"
    assert (await node.app(app["id"]))["status"] == "running"
    assert await node.fetch(app) == "hello from web"


async def test_a_change_that_is_refused_changes_nothing(node):
    app = await node.install()
    status, error = await change(node, app, config={"greeting": 5})
    assert (status, error["fields"][0]["path"]) == (400, "config.greeting")
    node.offer(web_template(node.engine, "2.0", privileged=True))
    status, error = await change(node, app, version="2.0")
    assert (status, error["error"], error["dangers"]) == (403, "template_not_allowed", ["privileged"])
    assert await node.app(app["id"]) == app


async def test_removing_an_app_keeps_its_volumes(node):
    app = await node.install()
    answer = await node.client.delete(f"/api/apps/{app['id']}")
    assert (answer.status_code, await answer.get_data()) == (204, b"")
    assert (await node.client.get(f"/api/apps/{app['id']}")).status_code == 404
    assert node.containers() == [] and len(node.volumes()) == 1
    assert node.debris() == node.volumes()
    (event,) = await node.events("app.uninstalled")
    assert (event.data["name"], event.data["purged"]) == ("blog", False)
    assert not await node.events("app.crashed")
    assert (await node.install())["id"] != app["id"]


async def test_removing_an_app_with_purge_leaves_nothing(node):
    app = await node.install()
    assert (await node.client.delete(f"/api/apps/{app['id']}?purge=true")).status_code == 204
    assert node.debris() == []
    (event,) = await node.events("app.uninstalled")
    assert event.data["purged"] is True


async def test_a_removal_that_the_host_did_not_finish_is_finished_at_its_next_start(node, monkeypatch):
    from cloudos_apps.engine.client import DockerEngine

    app, reached = await node.install(), asyncio.Event()

    async def stuck(self, *args, **kwargs):
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(DockerEngine, "remove_network", stuck)
        asking = asyncio.create_task(node.client.delete(f"/api/apps/{app['id']}?purge=true"))
        await asyncio.wait_for(reached.wait(), 10)
        assert (await node.app(app["id"]))["status"] == "uninstalling"
        await node.host.stop()
        await asyncio.gather(asking, return_exceptions=True)
    await node.host.start()
    await node.restart_clients()
    await node.event("app.uninstalled")
    assert node.debris() == []
    assert len(await node.events("app.uninstalled")) == 1


async def test_what_an_app_of_several_services_has_goes_with_it(node):
    services = [{"name": name, "image": node.engine.image("web:1.0")} for name in ("front", "back")]
    node.offer(make_template("pair", *services))
    app = await node.install("pair", "pair")
    assert len(node.containers()) == 2
    assert (await node.client.delete(f"/api/apps/{app['id']}")).status_code == 204
    assert node.debris() == []
