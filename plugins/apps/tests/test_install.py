"""Installing an app, from the request to the app's own answer."""

from __future__ import annotations

import asyncio
import json
import re

from app_node import CHECK, make_template, web_template
from cloudos_sdk.capabilities import Apps
from cloudos_sdk.testing.contracts import check_apps


async def test_an_app_is_installed_runs_and_answers_on_its_port(node):
    node.offer(web_template(node.engine, healthcheck=CHECK))
    status, app = await node.post({"template": "web", "name": "blog", "config": {"greeting": "my blog"}})
    assert status == 201
    assert re.fullmatch(r"app_[a-z2-9]{13}", app["id"])
    assert (app["name"], app["template"], app["status"]) == ("blog", "web", "installing")
    assert app["created_at"] == "2026-01-01T00:00:00Z"

    running = await node.until(app["id"], "running")
    assert await node.fetch(running) == "hello from my blog"
    assert running["addr"] == f"127.0.0.1:{running['ports']['http']}"

    operation = await node.operation(app["operation_id"])
    assert (operation["state"], operation["progress"], operation["resource"]) == ("succeeded", 1.0, app["id"])
    installed = await node.event("app.installed")
    assert (installed.resource, installed.actor.name) == (app["id"], "admin")
    assert installed.data["template"] == "web"

    listed = await (await node.client.get("/api/apps")).get_json()
    assert [found["id"] for found in listed] == [app["id"]]
    assert {"id", "name", "template", "status", "created_at"} <= set(listed[0])
    await check_apps(node.host.ctx("apps").use(Apps))
    assert (await node.host.ctx("apps").use(Apps).find_app(app["id"])).addr == running["addr"]


async def test_the_pull_shows_its_progress_layer_by_layer_on_the_event_stream(node):
    node.engine.cli("image", "prune", "-af")
    headers = {"Authorization": "Bearer admin"}
    seen = []
    async with node.host.host.app.test_client().request("/api/events", headers=headers) as stream:
        await stream.send_complete()
        assert b"retry" in await stream.receive()
        app = await node.install()
        async with asyncio.timeout(10):
            while not any(event["type"] == "operation.finished" for event in seen):
                for line in (await stream.receive()).splitlines():
                    if line.startswith(b"data: "):
                        seen.append(json.loads(line[6:]))
        await stream.disconnect()
    progress = [event["data"] for event in seen if event["type"] == "operation.progressed"]
    assert {event["resource"] for event in seen if event["type"] == "operation.progressed"} == {app["id"]}
    layers = [update["detail"]["layers"] for update in progress if "layers" in update["detail"]]
    assert layers and all({"status", "done", "total"} <= set(layer) for layer in layers[-1].values())
    assert {layer["status"] for layer in layers[-1].values()} == {"Pull complete"}
    assert [update["progress"] for update in progress] == sorted(update["progress"] for update in progress)
    assert node.engine.image("web:1.0") in " ".join(update["message"] for update in progress)


async def test_containers_get_no_more_than_the_template_declares(node):
    app = await node.install()
    (name,) = node.containers(app["id"])
    (found,) = json.loads(node.engine.cli("inspect", name))
    host = found["HostConfig"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert (host["Memory"], host["NanoCpus"]) == (64 * 2**20, 500_000_000)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert not host["Privileged"]
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(app["ports"]["http"])}]}
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/data"]
    assert found["Config"]["Labels"]["cloudos.app"] == app["id"]
    assert list(found["NetworkSettings"]["Networks"]) == [f"cloudos-{app['id']}"]


async def test_services_start_after_those_they_need_and_reach_them_by_name(node):
    web, db = node.engine.image("web:1.0"), node.engine.image("web:2.0")
    front = {
        "name": "front",
        "image": web,
        "depends_on": ["db"],
        "command": ["sh", "-c", "wget -q -O- http://db:8000/ || exit 1; exec sh /run.sh"],
        "ports": [{"name": "http", "container": 8000}],
    }
    store = {"name": "db", "image": db, "healthcheck": CHECK, "environment": {"GREETING": "db"}}
    node.offer(make_template("pair", front, store, web_port="http"))
    app = await node.install("pair", "pair")
    assert await node.fetch(app) == "hello from web"
    logs = await (await node.client.get(f"/api/apps/{app['id']}/logs?service=front")).get_json()
    assert "hello from db" in [line["message"] for line in logs["lines"]]


async def test_a_service_that_does_its_work_once_may_end(node):
    once = {"name": "setup", "image": node.engine.image("web:1.0"), "command": ["true"], "restart": "no"}
    main = {"name": "main", "image": node.engine.image("web:1.0"), "depends_on": ["setup"]}
    node.offer(make_template("once", main, once))
    app = await node.install("once", "once")
    await asyncio.sleep(0.5)
    assert (await node.app(app["id"]))["status"] == "running"
    assert not await node.events("app.crashed")


async def test_more_cpus_than_the_machine_has_are_cut_down_to_what_it_has(node):
    greedy = {"name": "main", "image": node.engine.image("web:1.0"), "cpus": 512}
    node.offer(make_template("greedy", greedy))
    assert (await node.install("greedy", "greedy"))["status"] == "running"


async def test_of_twenty_installs_of_one_name_one_is_taken(node):
    body = {"template": "web", "name": "blog"}
    answers = await asyncio.gather(*(node.post(body) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [201] + [409] * 19
    assert {answer["error"] for status, answer in answers if status == 409} == {"app_name_taken"}
    (app,) = [answer for status, answer in answers if status == 201]
    await node.until(app["id"], "running")
    assert len(node.containers()) == 1


async def test_apps_installed_together_get_ports_of_their_own(node):
    answers = await asyncio.gather(*(node.post({"template": "web", "name": f"site-{n}"}) for n in range(4)))
    assert [status for status, _ in answers] == [201] * 4
    apps = [await node.until(app["id"], "running") for _, app in answers]
    assert len({app["addr"] for app in apps}) == 4
    assert [await node.fetch(app) for app in apps] == ["hello from web"] * 4


async def test_secrets_are_in_the_container_and_nowhere_else(node):
    app = await node.install(config={"password": "tell-nobody-this"})
    (name,) = node.containers(app["id"])
    assert "PASSWORD=tell-nobody-this" in node.engine.cli("exec", name, "env")
    details = await node.app(app["id"])
    assert (details["config"], details["secrets"]) == ({"greeting": "web"}, ["password"])
    shown = json.dumps(details)
    shown += json.dumps([dict(event.data) | {"details": event.details} for event in await node.events()])
    shown += json.dumps(await node.operation(app["operation_id"]))
    assert "tell-nobody-this" not in shown
    folder = node.host.ctx("apps").data_dir.parent
    assert not [path for path in folder.rglob("*") if path.is_file() and b"tell-nobody-this" in path.read_bytes()]


async def test_the_tables_are_those_of_the_models(node):
    assert node.host.schema_differences("apps") == []
