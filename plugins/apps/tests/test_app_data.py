"""What backups ask of apps: contents, holding still, dumps, and making an app again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from app_node import CHECK, make_template, web_template
from cloudos_sdk import CloudOSError, Conflict, Forbidden, new_id
from cloudos_sdk.capabilities import AppData
from cloudos_sdk.events import AppStopped

DUMP = {"file": "words.txt", "command": ["sh", "-c", "cat /data/words"], "restore": ["sh", "-c", "cat >/data/words"]}


def data_of(node):
    return node.host.ctx("apps").use(AppData)


def state(node, app_id):
    (name,) = node.containers(app_id)
    return json.loads(node.engine.cli("inspect", name))[0]["State"]["Status"]


def volume(contents, name="data"):
    return Path(next(folder.path for folder in contents.folders if folder.name == name))


async def test_an_app_tells_its_volumes_its_dumps_and_how_it_is_held(node):
    data = [{"name": "data", "path": "/data"}, {"name": "cache", "path": "/cache", "backup": False}]
    node.offer(web_template(node.engine, volumes=data, dump=DUMP))
    app = await node.install(config={"greeting": "my blog"})
    contents = await data_of(node).contents(app["id"])
    assert [folder.name for folder in contents.folders] == ["data"], "not what its template says is no data"
    assert volume(contents).is_dir()
    (dump,) = contents.dumps
    assert (dump.name, dump.service) == ("words.txt", "web")
    assert (contents.hold, contents.running) == ("pause", True)
    assert json.loads(contents.definition)["config"]["greeting"] == "my blog"
    assert await data_of(node).contents("app_none") is None


async def test_a_paused_app_is_frozen_nobody_may_touch_it_and_it_goes_on(node):
    app = await node.install()
    data = data_of(node)
    await data.hold(app["id"], "pause")
    assert state(node, app["id"]) == "paused"
    for path, method in (("/stop", "POST"), ("/restart", "POST"), ("", "DELETE")):
        answer = await node.client.request(method, f"/api/apps/{app['id']}{path}")
        assert (answer.status_code, (await answer.get_json())["error"]) == (409, "app_held")
    assert (await node.app(app["id"]))["status"] == "running"
    await data.let_go(app["id"])
    assert state(node, app["id"]) == "running"
    assert await node.fetch(app) == "hello from web"
    await data.let_go(app["id"])  # it is free already


async def test_a_held_app_that_is_stopped_is_no_crash_and_no_stop(node):
    app = await node.install()
    data = data_of(node)
    await data.hold(app["id"], "stop")
    assert state(node, app["id"]) == "exited"
    await data.let_go(app["id"])
    assert state(node, app["id"]) == "running"
    assert (await node.app(app["id"]))["status"] == "running"
    assert not await node.events(AppStopped.type, "app.crashed")


@pytest.mark.parametrize("how", ["pause", "stop"])
async def test_a_held_app_goes_on_when_the_host_died_meanwhile(node, how):
    app = await node.install()
    await data_of(node).hold(app["id"], how)
    await node.host.restart()
    await node.restart_clients()
    assert await node.fetch(app, seconds=15) == "hello from web"
    assert (await node.until(app["id"], "running"))["error"] is None
    assert not await node.events(AppStopped.type, "app.crashed")


async def test_a_closed_app_stays_closed_over_a_restart_until_it_is_let_go(node):
    app = await node.install()
    await data_of(node).hold(app["id"], "close")
    await node.host.restart()
    await node.restart_clients()
    assert await node.well()
    assert state(node, app["id"]) == "exited"
    await data_of(node).let_go(app["id"], wait=True)
    assert await node.fetch(app) == "hello from web"


async def test_an_app_is_made_beside_another_with_ports_and_volumes_of_its_own(node):
    node.offer(web_template(node.engine, healthcheck=CHECK))
    app = await node.install(config={"greeting": "first"})
    data = data_of(node)
    definition = (await data.contents(app["id"])).definition
    rights = await data.check(definition, "app_other", "beside")
    other = new_id("app")
    made = await data.make(definition, "other", app_id=other, making="beside", rights=rights)
    (volume(made) / "words").write_text("from the backup")
    await data.let_go(other, wait=True)
    there = await node.app(other)
    assert there["status"] == "running" and there["ports"] != app["ports"]
    assert await node.fetch(there) == "hello from first"
    assert await node.fetch(app) == "hello from first"
    await data.remove(other)
    assert node.containers() == node.containers(app["id"])
    assert [v for v in node.volumes() if other in v] == []


async def test_an_app_on_trial_is_told_to_nobody_and_stays_held(node):
    from cloudos_sdk.capabilities import Apps

    app = await node.install()
    data, trial = data_of(node), new_id("app")
    definition = (await data.contents(app["id"])).definition
    await data.make(definition, "trial", app_id=trial, making="trial", rights=[])
    await data.let_go(trial, wait=True)
    told = [found.id for found in await node.host.ctx("apps").use(Apps).list_apps()]
    assert told == [app["id"]]
    assert (await node.client.post(f"/api/apps/{trial}/stop")).status_code == 409
    await data.remove(trial)
    assert [event.resource for event in await node.events("app.installed", "app.uninstalled")] == [app["id"]]


async def test_a_copy_is_given_no_right_that_nobody_allows(node):
    node.offer(web_template(node.engine, devices=["/dev/null"]))
    app = await node.install(allow=["web:device:/dev/null"])
    data = data_of(node)
    definition = (await data.contents(app["id"])).definition
    with pytest.raises(CloudOSError):  # nobody is signed in here
        await data.make(definition, "trial", app_id=new_id("app"), making="trial", rights=[])
    assert len(node.containers()) == 1


async def test_an_app_takes_a_definition_back_with_no_more_rights_than_it_has(node):
    node.offer(web_template(node.engine))
    app = await node.install(config={"greeting": "first"})
    data = data_of(node)
    first = (await data.contents(app["id"])).definition
    answer = await node.client.put(f"/api/apps/{app['id']}", json={"config": {"greeting": "second"}})
    assert answer.status_code == 202
    await node.operation((await answer.get_json())["operation_id"])
    with pytest.raises(Conflict):
        await data.define(app["id"], first)
    await data.hold(app["id"], "close")
    second = await data.define(app["id"], first)
    await data.let_go(app["id"], wait=True)
    assert await node.fetch(await node.app(app["id"])) == "hello from first"
    more = json.loads(first)
    more["template"]["services"][0]["privileged"] = True
    await data.hold(app["id"], "close")
    with pytest.raises(Forbidden):
        await data.define(app["id"], json.dumps(more))
    await data.define(app["id"], second)
    await data.let_go(app["id"], wait=True)
    assert await node.fetch(await node.app(app["id"])) == "hello from second"


async def test_a_dump_is_made_while_the_app_runs_and_read_into_an_empty_volume(node, tmp_path):
    node.offer(web_template(node.engine, dump=DUMP))
    app = await node.install()
    data = data_of(node)
    words = volume(await data.contents(app["id"])) / "words"
    words.write_text("w" * 300_000)
    file = tmp_path / "dump"
    await data.dump(app["id"], "words.txt", str(file))
    assert file.read_text() == words.read_text()
    with pytest.raises(Conflict):
        await data.load(app["id"], "words.txt", str(file))
    await data.hold(app["id"], "close")
    with pytest.raises(Conflict):
        await data.dump(app["id"], "words.txt", str(file) + "2")
    words.unlink()
    await data.load(app["id"], "words.txt", str(file))
    assert words.read_text() == file.read_text()
    await data.let_go(app["id"], wait=True)


async def test_a_dump_that_fails_says_what_the_service_said(node, tmp_path):
    broken = {**DUMP, "command": ["sh", "-c", "echo no room >&2; exit 3"]}
    node.offer(web_template(node.engine, dump=broken))
    app = await node.install()
    with pytest.raises(CloudOSError, match=r"exit code 3.*no room"):
        await data_of(node).dump(app["id"], "words.txt", str(tmp_path / "dump"))


def test_a_dump_stands_for_volumes_of_its_own_service():
    service = {"name": "a", "image": "x:1", "volumes": [{"name": "data", "path": "/data"}]}
    make_template("good", {**service, "dump": {**DUMP, "volumes": ["data"]}})
    with pytest.raises(ValueError, match="volumes of its own service"):
        make_template("bad", {**service, "dump": {**DUMP, "volumes": ["other"]}})
