"""Installs that do not come up: they say why and leave nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from app_node import CHECK, make_template


async def failed(node, template, name="bad"):
    """Install what must fail; return the app and its operation."""
    status, app = await node.post({"template": template, "name": name})
    assert status == 201, app
    operation = await node.operation(app["operation_id"])
    assert operation["state"] == "failed"
    shown = await node.app(app["id"])
    assert (shown["status"], shown["ports"], shown["addr"]) == ("failed", {}, None)
    assert shown["error"] == operation["message"]
    event = (await node.events("app.install_failed"))[-1]
    assert (event.resource, event.data["reason"]) == (app["id"], shown["error"])
    assert not await node.events("app.installed", "app.crashed")
    assert node.debris() == []
    return shown, operation


def sick(node, image, **more):
    service = {"name": "main", "image": node.engine.image(image), "volumes": [{"name": "data", "path": "/data"}]}
    return make_template("sick", {**service, "ports": [{"name": "http", "container": 8000}], **more})


async def test_an_image_that_there_is_not(node):
    node.offer(sick(node, "nothing:9.9"))
    shown, operation = await failed(node, "sick")
    assert operation["error"]["error"] == "pull_failed"
    assert "nothing:9.9 cannot be pulled" in shown["error"]


async def test_a_registry_that_does_not_answer(node):
    node.offer(make_template("sick", {"name": "main", "image": "127.0.0.1:9/some/image:1.0"}))
    shown, operation = await failed(node, "sick")
    assert operation["error"]["error"] == "pull_failed"
    assert "127.0.0.1:9/some/image:1.0 cannot be pulled" in shown["error"]


@pytest.mark.parametrize("settle", [1.5])
async def test_an_app_that_ends_tells_its_exit_code_and_last_words(node):
    node.offer(sick(node, "crash:1.0"))
    shown, operation = await failed(node, "sick")
    assert "exit code 3" in shown["error"] and "no database" in shown["error"]
    assert {"about to give up", "no database"} <= set(operation["error"]["logs"])


async def test_an_app_that_never_becomes_healthy(node):
    node.offer(sick(node, "sick:1.0", healthcheck={**CHECK, "retries": 1, "start_period_s": 0}))
    shown, _ = await failed(node, "sick")
    assert "main did not become healthy" in shown["error"] and "never well" in shown["error"]


async def test_a_port_that_was_taken_while_the_image_was_pulled(node, monkeypatch):
    import socket

    from cloudos_apps.lifecycle.containers import Containers

    holder = socket.socket()
    create = Containers.create

    async def create_late(self, app, specs):
        await create(self, app, specs)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", specs[0].ports[0][3]))
        holder.listen()

    monkeypatch.setattr(Containers, "create", create_late)
    node.offer(sick(node, "web:1.0"))
    with holder:
        _, operation = await failed(node, "sick")
    assert operation["error"]["error"] == "port_in_use", operation["error"]
    assert "python" in operation["error"]["message"]


async def test_a_cancelled_install_cleans_up(node):
    node.offer(sick(node, "sick:1.0", healthcheck={**CHECK, "retries": 100}))
    _, app = await node.post({"template": "sick", "name": "bad"})
    await node.some_containers(app["id"])
    assert (await node.client.post(f"/api/operations/{app['operation_id']}/cancel")).status_code == 202
    assert (await node.operation(app["operation_id"]))["state"] == "cancelled"
    assert (await node.app(app["id"]))["status"] == "failed"
    assert node.debris() == []


async def test_the_name_of_a_failed_install_can_be_had_again_and_it_can_be_deleted(node):
    node.offer(sick(node, "nothing:9.9"))
    first, _ = await failed(node, "sick", "blog")
    answer = await node.client.post(f"/api/apps/{first['id']}/start")
    assert (answer.status_code, (await answer.get_json())["error"]) == (409, "app_failed")
    app = await node.install("web", "blog")
    assert [found["id"] for found in await (await node.client.get("/api/apps")).get_json()] == [app["id"]]
    second, _ = await failed_again(node)
    assert (await node.client.delete(f"/api/apps/{second['id']}")).status_code == 204
    assert len(await (await node.client.get("/api/apps")).get_json()) == 1


async def failed_again(node):
    _, app = await node.post({"template": "sick", "name": "other"})
    operation = await node.operation(app["operation_id"])
    assert operation["state"] == "failed"
    return app, operation


STEPS = [
    ("pull", "before"),
    ("pull", "after"),
    ("create_network", "after"),
    ("create_volume", "after"),
    ("create", "after"),
    ("start", "before"),
    ("start", "after"),
]


@pytest.mark.parametrize(("step", "when"), STEPS)
async def test_a_host_that_dies_at_any_step_finishes_the_install_at_its_next_start(node, monkeypatch, step, when):
    from cloudos_apps.engine.client import DockerEngine

    reached, original = asyncio.Event(), getattr(DockerEngine, step)

    async def stuck(self, *args, **kwargs):
        if when == "after":
            await original(self, *args, **kwargs)
        reached.set()
        await asyncio.Event().wait()

    async def stuck_pull(self, image):
        async for progress in original(self, image):
            if when == "after":
                yield progress
        reached.set()
        await asyncio.Event().wait()

    if step == "pull":
        node.engine.cli("image", "prune", "-af")
    with monkeypatch.context() as patch:
        patch.setattr(DockerEngine, step, stuck_pull if step == "pull" else stuck)
        _, app = await node.post({"template": "web", "name": "blog"})
        await asyncio.wait_for(reached.wait(), 10)
        await node.host.stop()
    await node.host.start()
    await node.restart_clients()
    running = await node.until(app["id"], "running")
    assert (await node.operation(app["operation_id"]))["state"] == "succeeded"
    assert await node.fetch(running) == "hello from web"
    assert node.containers() == [f"cloudos-{app['id']}-web-1"]
    assert len(await node.events("app.installed")) == 1
    assert not await node.events("app.install_failed", "app.crashed")
