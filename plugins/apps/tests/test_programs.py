"""What an app was allowed is for the program that a person saw, from whom it was: another one is asked for again."""

from __future__ import annotations

import asyncio
import json

import pytest
from app_node import make_template
from cloudos_apps.consent.programs import program_rights, repository
from cloudos_apps.consent.rights import RequestedRight
from cloudos_apps.models import App
from cloudos_apps.templates.model.template import Template
from cloudos_sdk.testing.fixtures import Client
from sqlalchemy import update as change

GRAVE = {"name": "main", "cap_add": ["NET_RAW"]}


def offer(node, version="1.0", image="web:1.0", **more):
    service = {**GRAVE, "image": node.engine.image(image), **more}
    node.offer(make_template("reaching", service, version=version))


async def update(node, app, client=None, **body):
    answer = await (client or node.client).put(f"/api/apps/{app['id']}", json={"version": "latest", **body})
    return answer.status_code, await answer.get_json()


async def test_another_tag_of_the_same_image_needs_no_new_word_and_another_program_does(node):
    offer(node)
    app = await node.install("reaching", "reaching", allow=["main:capability:NET_RAW"])
    first = sorted(["main:capability:NET_RAW", *node.programs()])
    assert (await node.app(app["id"]))["rights"] == first
    offer(node, "2.0", "web:2.0")
    status, changing = await update(node, app, node.operator)
    assert status == 202, changing
    assert (await node.operation(changing["operation_id"]))["state"] == "succeeded"
    assert (await node.app(app["id"]))["rights"] == first
    offer(node, "3.0", "chatty:1.0")
    image = f"main:image:{node.engine.registry}/chatty"
    for client in (node.operator, node.client):
        status, error = await update(node, app, client)
        assert (status, error["error"], error["rights"]) == (403, "template_not_allowed", [image])
        assert error["dangers"] == ["capabilities"]
    status, error = await update(node, app, node.operator, allow=[image])
    assert (status, error["rights"]) == (403, [image])
    for more in (
        {"command": ["sh", "-c", "exit 3"]},
        {"entrypoint": ["sh"]},
        {"user": "0"},
        {"environment": {"BASH_ENV": "$(sh)"}},
        {"healthcheck": {"test": ["CMD-SHELL", "sh"]}},
        {"volumes": [{"name": "over", "path": "/bin"}]},
    ):
        offer(node, "4.0", "web:2.0", **more)
        status, error = await update(node, app, node.operator)
        assert (status, len(error["rights"]), error["rights"][0][:13]) == (403, 1, "main:command:"), more
    status, changing = await update(node, app, allow=error["rights"])
    assert status == 202, "an admin in person allows it"
    await node.operation(changing["operation_id"])


async def test_an_app_that_has_no_such_right_goes_to_any_program(node):
    node.offer(make_template("plain", {"name": "main", "image": node.engine.image("web:1.0")}))
    app = await node.install("plain", "plain")
    other = {"name": "main", "image": node.engine.image("chatty:1.0"), "environment": {"A": "b"}}
    node.offer(make_template("plain", other, version="2.0"))
    status, changing = await update(node, app, node.operator)
    assert status == 202, changing
    assert (await node.operation(changing["operation_id"]))["state"] == "succeeded"
    assert (await node.app(app["id"]))["rights"] == []


async def test_a_source_that_was_made_again_by_a_key_is_not_the_one_that_was_allowed(cloudos, docker_engine):
    settings = {"auth": {"bcrypt_cost": 4}, "apps": {"docker_host": docker_engine.host, "min_free_mb": 1}}
    host = await cloudos("auth", "apps", settings=settings)
    account = {"username": "admin", "password": "a long password"}
    await host.anonymous.post("/api/auth/setup", json=account)
    token = (await (await host.anonymous.post("/api/auth/login", json=account)).get_json())["access_token"]
    person = Client(host.host.app, token)
    scopes = ["apps:write", "apps:read", "templates:write"]
    made = await person.post("/api/keys", json={"name": "ci", "scopes": scopes})
    key = Client(host.host.app, (await made.get_json())["key"])

    def content(version, image, command):
        service = {"name": "main", "image": docker_engine.image(image), "cap_add": ["NET_RAW"], "command": command}
        about = {"name": "portman", "display_name": "P", "category": "c", "version": version}
        return "\n".join(f"{key}: {json.dumps(value)}" for key, value in {**about, "services": [service]}.items())

    first = {"name": "mgr", "content": content("1", "web:1.0", None)}
    answer = await person.post("/api/templates/sources", json=first)
    assert answer.status_code == 201, await answer.get_json()
    source = (await answer.get_json())["id"]
    template = await (await person.get("/api/templates/mgr.portman")).get_json()
    assert f"source:mgr:{source}" in template["rights"] and template["source"] == "mgr"
    answer = await person.post(
        "/api/apps", json={"template": "mgr.portman", "name": "portman", "allow": template["rights"]}
    )
    app = await answer.get_json()
    assert answer.status_code == 201, app
    while (found := await (await person.get(f"/api/apps/{app['id']}")).get_json())["status"] == "installing":
        await asyncio.sleep(0.05)
    assert found["status"] == "running", found
    assert (await key.delete(f"/api/templates/sources/{source}")).status_code == 204
    second = {"name": "mgr", "content": content("2", "chatty:1.0", ["sh", "-c", "id"])}
    answer = await key.post("/api/templates/sources", json=second)
    other = (await answer.get_json())["id"]
    url = f"/api/apps/{app['id']}"
    error = await (await key.put(url, json={"version": "latest"})).get_json()
    assert error["error"] == "template_not_allowed"
    command, *rest = error["rights"]
    assert rest == [f"main:image:{docker_engine.registry}/chatty", f"source:mgr:{other}"]
    assert command.startswith('main:command:["sh", "-c", "id"]:')
    answer = await key.put(url, json={"version": "latest", "allow": error["rights"]})
    assert (answer.status_code, (await answer.get_json())["error"]) == (403, "person_required")
    assert (await key.delete(f"/api/templates/sources/{other}")).status_code == 204
    same = {"name": "mgr", "content": content("1.1", "web:1.0", None)}
    same = await (await key.post("/api/templates/sources", json=same)).get_json()
    error = await (await key.put(url, json={"version": "latest", "config": {}})).get_json()
    assert error["rights"] == [f"source:mgr:{same['id']}"], "the source alone is another one"
    assert (await (await person.get(url)).get_json())["version"] == "1"
    await host.stop()
    docker_engine.clean()


async def test_apps_of_before_are_bound_to_what_they_run_without_a_question(node, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "films").symlink_to(tmp_path / "media")
    films = {"host_path": f"{tmp_path}/films", "path": "/films"}
    offer(node, volumes=[films])
    right = f"main:host_path:{tmp_path}/films -> {tmp_path}/media:rw"
    app = await node.install("reaching", "reaching", allow=["main:capability:NET_RAW", right])
    now = sorted(["main:capability:NET_RAW", right, *node.programs()])
    assert (await node.app(app["id"]))["rights"] == now
    before = json.dumps([f"main:host_path:{tmp_path}/films:rw", "main:capability:NET_RAW"])
    db = node.host.ctx("apps").db
    await db.write(lambda s: s.execute(change(App).values(rights=before, source=None)))
    await node.host.restart()
    await node.restart_clients()
    await node.until(app["id"], "running")
    bound = (await node.app(app["id"]))["rights"]
    assert bound == sorted([*(text for text in now if text != "source:tests:tests"), "source:removed"])
    for action in ("stop", "start"):
        answer = await node.operator.post(f"/api/apps/{app['id']}/{action}")
        assert answer.status_code == 200, await answer.get_json()
    offer(node, "2.0", "chatty:1.0", volumes=[films])
    status, error = await update(node, app, node.operator)
    assert (status, error["rights"]) == (403, [f"main:image:{node.engine.registry}/chatty", "source:tests:tests"])


async def test_a_link_that_was_turned_is_another_right(node, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "one")
    service = {"name": "main", "image": node.engine.image("web:1.0")}
    node.offer(make_template("reaching", {**service, "volumes": [{"host_path": str(link), "path": "/m"}]}))
    app = await node.install("reaching", "reaching", allow=[f"main:host_path:{link} -> {tmp_path}/one:rw"])
    await node.client.post(f"/api/apps/{app['id']}/stop")
    link.unlink()
    link.symlink_to(tmp_path / "two")
    answer = await node.client.post(f"/api/apps/{app['id']}/start")
    error = await answer.get_json()
    assert (answer.status_code, error["error"]) == (409, "rights_changed")
    assert error["rights"] == [f"main:host_path:{link} -> {tmp_path}/two:rw"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx:1", "nginx"),
        ("localhost:5000/a/b:1.2", "localhost:5000/a/b"),
        ("localhost:5000/a:1@sha256:" + "0" * 64, "localhost:5000/a"),
        ("a/b@sha256:" + "0" * 64, "a/b"),
    ],
)
def test_a_repository_is_the_name_without_tag_and_digest(image, name):
    assert repository(image) == name


def test_all_services_of_an_app_count_and_long_or_hidden_words_are_shown_in_part():
    about = {"name": "t", "display_name": "T", "category": "t", "version": "1"}
    services = [
        {"name": "a", "image": "a:1", "privileged": True},
        {"name": "b", "image": "b:1", "command": ["\x1b[2K\u202e" + "x" * 500]},
    ]
    template = Template.model_validate({**about, "services": services})
    assert program_rights(template, "node", [RequestedRight("a:port:53/tcp", "low_ports")]) == set()
    found = sorted(
        right.text for right in program_rights(template, "node", [RequestedRight("a:privileged", "privileged")])
    )
    kinds = ["a:command", "a:image", "b:command", "b:image", "source:node"]
    assert [":".join(text.split(":")[:2]) for text in found] == kinds
    assert found[2].isprintable() and len(found[2]) < 200
