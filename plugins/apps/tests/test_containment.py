"""What a container may do on the machine: so much as it needs, and its secrets are for it alone."""

from __future__ import annotations

import asyncio
import json
import stat

import pytest
from app_node import PASSWORD, make_template
from cloudos_apps.consent.rights import BASE_CAPABILITIES, capabilities_of
from cloudos_apps.templates.catalog import own_templates
from cloudos_apps.templates.formats.detect import read
from cloudos_apps.templates.model.template import Service

SECRET = "correct-horse-battery"


def inspected(node, app, what):
    (container,) = node.containers(app["id"])
    return json.loads(node.engine.cli("inspect", "-f", f"{{{{json .{what}}}}}", container))


async def test_a_container_has_few_capabilities_a_limit_of_processes_and_gains_no_privileges(node):
    app = await node.install()
    host = inspected(node, app, "HostConfig")
    assert [name.removeprefix("CAP_") for name in host["CapDrop"]] == ["ALL"]
    assert sorted(name.removeprefix("CAP_") for name in host["CapAdd"]) == sorted(BASE_CAPABILITIES)
    assert (host["PidsLimit"], host["SecurityOpt"], host["Privileged"]) == (2048, ["no-new-privileges"], False)
    (container,) = node.containers()
    status = node.engine.cli("exec", container, "cat", "/proc/1/status")
    bits = int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    assert not any(bits >> bit & 1 for bit in (12, 13, 16, 21, 27, 29))  # NET_ADMIN, NET_RAW, SYS_MODULE, SYS_ADMIN …
    for needed in (
        "touch /data/x && chown 1000:1000 /data/x",
        "su -s /bin/sh root -c true || true",
        "chmod 600 /data/x",
    ):
        node.engine.cli("exec", container, "sh", "-c", needed)


async def test_a_bomb_of_processes_ends_at_the_limit(node):
    node.offer(make_template("small", {"name": "main", "image": node.engine.image("web:1.0"), "pids_limit": 20}))
    app = await node.install("small", "small")
    assert inspected(node, app, "HostConfig.PidsLimit") == 20
    (container,) = node.containers(app["id"])
    bomb = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do sleep 60 & done; wait"
    node.engine.cli("exec", "-d", container, "sh", "-c", bomb)
    await asyncio.sleep(1)
    assert 5 < len(node.engine.cli("top", container).splitlines()) <= 21
    assert (await node.app(app["id"]))["status"] == "running"


def test_a_template_names_what_it_needs_beside_the_base_and_what_it_does_not():
    def service(**more):
        return Service.model_validate({"name": "a", "image": "a:1", **more})

    assert capabilities_of(service()) == list(BASE_CAPABILITIES)
    assert capabilities_of(service(cap_add=["cap_net_raw", "CHOWN"])) == [*BASE_CAPABILITIES, "NET_RAW"]
    assert capabilities_of(service(cap_drop=["ALL"], cap_add=["CHOWN"])) == ["CHOWN"]
    assert "KILL" not in capabilities_of(service(cap_drop=["cap_kill"]))
    assert not {"NET_RAW", "MKNOD", "AUDIT_WRITE", "SYS_ADMIN"} & set(BASE_CAPABILITIES)
    assert {"CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "FOWNER", "NET_BIND_SERVICE"} <= set(BASE_CAPABILITIES)


@pytest.mark.parametrize("line", ["pids_limit: 99", "deploy: {resources: {limits: {pids: 99}}}"])
def test_a_compose_file_says_how_many_processes(line):
    text = f"services:\n  one:\n    image: example/one:1\n    cap_drop: [ALL]\n    cap_add: [CHOWN]\n    {line}\n"
    (template,) = read(text, "casa")[1].templates.values()
    assert (template.services[0].pids_limit, capabilities_of(template.services[0])) == (99, ["CHOWN"])


def offer_secret(node, **more):
    service = {
        "name": "main",
        "image": node.engine.image("web:1.0"),
        "environment": {"APP_PASSWORD_FILE": "${secret.password}", "PLAIN": "${secret.password}"} | more,
    }
    node.offer(make_template("secret", service, config=[{**PASSWORD, "default": None}]))


async def test_a_secret_that_an_image_takes_as_a_file_is_one_which_the_engine_finds_by_itself(node):
    offer_secret(node, PLAIN="none")
    app = await node.install("secret", "secret", config={"password": SECRET})
    (container,) = node.containers(app["id"])
    assert node.engine.cli("exec", container, "sh", "-c", 'cat "$APP_PASSWORD_FILE"') == SECRET
    assert "APP_PASSWORD_FILE=/run/secrets/password" in inspected(node, app, "Config.Env")
    assert SECRET not in json.dumps(inspected(node, app, "Config"))
    (mount,) = inspected(node, app, "Mounts")
    assert (mount["Destination"], mount["RW"]) == ("/run/secrets/password", False)
    folder = node.host.ctx("apps").data_dir / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    node.engine.stop()
    node.engine.start()
    await node.until(app["id"], "running")
    assert node.engine.cli("exec", container, "cat", "/run/secrets/password") == SECRET
    answer = await node.client.put(f"/api/apps/{app['id']}", json={"config": {"password": "another-secret"}})
    await node.operation((await answer.get_json())["operation_id"])
    (container,) = node.containers(app["id"])
    assert node.engine.cli("exec", container, "cat", "/run/secrets/password") == "another-secret"
    assert SECRET not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    await node.client.delete(f"/api/apps/{app['id']}")
    assert not list(folder.iterdir())


async def test_nobody_reads_a_secret_of_an_app_in_what_the_api_shows(node):
    offer_secret(node)
    shout = "echo my password is $PLAIN; exit 3"
    template = node.templates["secret"]
    service = template.services[0].model_copy(update={"command": ("sh", "-c", shout), "restart": "no"})
    node.offer(template.model_copy(update={"name": "loud", "services": (service,)}))
    app = await node.install("secret", "secret", config={"password": SECRET})
    status, loud = await node.post({"template": "loud", "name": "loud", "config": {"password": SECRET}})
    assert status == 201
    operation = await node.operation(loud["operation_id"])
    assert operation["state"] == "failed" and "my password is ***" in operation["message"]
    shown = [operation]
    for path in ("/api/apps", f"/api/apps/{app['id']}", f"/api/apps/{loud['id']}", "/api/templates/loud"):
        for client in (node.viewer, node.operator, node.client):
            shown.append(await (await client.get(path)).get_json())
    for id in (app["operation_id"], loud["operation_id"]):
        shown.append(await (await node.client.get(f"/api/operations/{id}")).get_json())
    shown += [event.data for event in await node.events()]
    assert SECRET not in json.dumps(shown, default=str)


async def test_a_log_shows_no_secret_of_its_app(node):
    offer_secret(node)
    template = node.templates["secret"]
    command = ("sh", "-c", "echo my password is $PLAIN; trap 'exit 0' TERM; while true; do sleep 1; done")
    node.offer(
        template.model_copy(update={"services": (template.services[0].model_copy(update={"command": command}),)})
    )
    app = await node.install("secret", "secret", config={"password": SECRET})
    body = await (await node.viewer.get(f"/api/apps/{app['id']}/logs")).get_json()
    assert [line["message"] for line in body["lines"]] == ["my password is ***"]
    path = f"/api/apps/{app['id']}/logs?follow=true"
    async with node.host.host.app.test_client().request(path, headers={"Authorization": "Bearer viewer"}) as stream:
        await stream.send_complete()
        assert json.loads((await stream.receive()).splitlines()[0])["message"] == "my password is ***"
        await stream.disconnect()


def test_a_default_of_a_secret_is_not_shown_with_a_template():
    for template in own_templates().values():
        assert not any(field.secret and field.default is not None for field in template.config)


async def test_a_password_that_is_not_marked_as_secret_is_one(node):
    odd = {"name": "password", "type": "password", "default": SECRET}
    node.offer(make_template("odd", {"name": "main", "image": node.engine.image("web:1.0")}, config=[odd]))
    app = await node.install("odd", "odd")
    for path in ("/api/templates/odd", f"/api/apps/{app['id']}"):
        assert SECRET not in json.dumps(await (await node.client.get(path)).get_json())
    assert (await node.app(app["id"]))["secrets"] == ["password"]


async def test_the_password_in_a_url_is_not_shown(node):
    url = {"name": "database", "default": "postgres://ada:hush-hush@db:5432/x"}
    node.offer(make_template("odd", {"name": "main", "image": node.engine.image("web:1.0")}, config=[url]))
    app = await node.install("odd", "odd", config={"database": "postgres://ada:not-for-you@db/x?a=b@c"})
    shown = await (await node.viewer.get(f"/api/apps/{app['id']}")).get_json()
    assert shown["config"] == {"database": "postgres://ada:***@db/x?a=b@c"}
