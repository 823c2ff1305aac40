"""What an app is allowed: exactly what a person was shown, and nothing that came later."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from app_node import make_template
from cloudos_apps.consent.host_paths import HostPaths, trail
from cloudos_apps.consent.rights import rights_of, texts_of
from cloudos_apps.consent.service import ConsentService
from cloudos_apps.templates.model.template import Template
from cloudos_sdk.testing.fixtures import Client


def reaching(node, *, version="1.0", image="web:1.0", **service):
    return make_template("reaching", {"name": "main", "image": node.engine.image(image), **service}, version=version)


async def update(node, app, client=None, **body):
    answer = await (client or node.client).put(f"/api/apps/{app['id']}", json={"version": "latest", **body})
    return answer.status_code, await answer.get_json()


async def test_what_a_new_version_asks_for_beyond_what_was_allowed_is_named_exactly(node, tmp_path):
    folder, data = tmp_path / "one", node.host.ctx("apps").data_dir.parent
    folder.mkdir()
    mine = {"host_path": str(folder), "path": "/one", "read_only": True}
    node.offer(reaching(node, volumes=[mine], cap_add=["NET_RAW"]))
    allowed = [f"main:host_path:{folder}:ro", "main:capability:NET_RAW"]
    app = await node.install("reaching", "reaching", allow=allowed)
    more = [
        mine | {"read_only": False},
        {"host_path": str(data), "path": "/data"},
    ]
    node.offer(reaching(node, version="2.0", volumes=more, cap_add=["NET_RAW", "SYS_ADMIN"], devices=["/dev/null"]))
    new = sorted(
        [
            "main:capability:SYS_ADMIN",
            "main:device:/dev/null",
            f"main:host_path:{data}:rw",
            f"main:host_path:{folder}:rw",
            *(right for right in node.programs() if ":command:" in right),  # a folder more lies in its container
        ]
    )
    for client in (node.operator, node.client):
        status, error = await update(node, app, client)
        assert (status, error["error"], error["rights"]) == (403, "template_not_allowed", new)
    status, error = await update(node, app, node.operator, allow=new)
    assert (status, error["error"]) == (403, "template_not_allowed")
    for part in (new[:-1], ["capabilities", "host_paths", "devices"]):
        assert (await update(node, app, allow=part))[0] == 403
    assert (await node.app(app["id"]))["version"] == "1.0"
    node.offer(reaching(node, volumes=[mine], cap_add=["NET_RAW"]))
    assert (await node.app(app["id"]))["rights"] == sorted([*allowed, *node.programs()])


async def test_an_operator_may_go_to_a_version_that_asks_for_less_and_then_not_back(node, tmp_path):
    node.offer(reaching(node, volumes=[{"host_path": str(tmp_path), "path": "/mnt"}]))
    right = f"main:host_path:{tmp_path}:rw"
    app = await node.install("reaching", "reaching", allow=[right])
    with_it = node.templates["reaching"]
    status, changing = await update(node, app, node.operator, version=None, config={})
    assert status == 202, "what was allowed once needs no new word"
    await node.operation(changing["operation_id"])
    node.offer(reaching(node, version="2.0"))
    status, changing = await update(node, app, node.operator)
    assert status == 202
    await node.operation(changing["operation_id"])
    assert (await node.app(app["id"]))["rights"] == []
    node.offer(with_it.model_copy(update={"version": "3.0"}))
    status, error = await update(node, app, node.operator)
    assert (status, error["rights"]) == (403, sorted([right, *node.programs()]))
    assert len(await node.events("app.rights_allowed")) == 1


async def test_what_an_update_was_allowed_counts_only_once_it_is_there(node, tmp_path):
    app = await node.install()
    broken = reaching(node, version="2.0", image="nothing:9.9", privileged=True)
    node.offer(broken.model_copy(update={"name": "web"}))
    rights = sorted(["main:privileged", *node.programs("web")])
    _, changing = await update(node, app, allow=rights)
    assert (await node.operation(changing["operation_id"]))["state"] == "failed"
    assert (await node.app(app["id"]))["rights"] == []
    status, error = await update(node, app, node.operator)
    assert (status, error["rights"]) == (403, rights)


async def test_an_install_again_under_the_name_of_a_failed_one_is_asked_anew(node, tmp_path):
    node.offer(reaching(node, image="nothing:9.9", volumes=[{"host_path": str(tmp_path), "path": "/mnt"}]))
    status, app = await node.post({"template": "reaching", "name": "again", "allow": [f"main:host_path:{tmp_path}:rw"]})
    assert status == 201
    await node.operation(app["operation_id"])
    assert (await node.app(app["id"]))["rights"] == []
    assert (await node.post({"template": "reaching", "name": "again"}, node.operator))[0] == 403


async def test_a_template_that_changes_after_it_was_shown_is_not_what_was_allowed(node, tmp_path, monkeypatch):
    """The engine is asked between the first look and the transaction: there another template comes in."""
    from cloudos_apps.lifecycle.containers import Containers

    node.offer(reaching(node, volumes=[{"host_path": str(tmp_path), "path": "/mnt", "read_only": True}]))
    shown = await (await node.client.get("/api/templates/reaching")).get_json()
    assert shown["rights"] == sorted([f"main:host_path:{tmp_path}:ro", *node.programs()])
    assert shown["dangers"] == ["host_paths"]
    link = tmp_path / "link"
    link.mkdir()
    node.offer(reaching(node, volumes=[{"host_path": str(link), "path": "/mnt", "read_only": True}]))
    right = f"main:host_path:{link}:ro"
    assert (await node.post({"template": "reaching", "name": "late", "allow": shown["rights"]}))[0] == 403

    async def swap(self):
        link.rmdir()
        link.symlink_to("/")

    monkeypatch.setattr(Containers, "check_space", swap)
    status, error = await node.post({"template": "reaching", "name": "late", "allow": [right]})
    assert (status, error["error"]) == (403, "template_not_allowed")
    assert error["rights"] == [f"main:docker_socket:{link} -> /:ro"]
    assert await (await node.client.get("/api/apps")).get_json() == []


async def test_a_link_that_leads_to_the_machine_since_keeps_an_app_from_starting(node, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    node.offer(reaching(node, volumes=[{"host_path": str(folder), "path": "/mnt"}]))
    app = await node.install("reaching", "reaching", allow=[f"main:host_path:{folder}:rw"])
    await node.client.post(f"/api/apps/{app['id']}/stop")
    folder.rmdir()
    folder.symlink_to("/etc")
    answer = await node.client.post(f"/api/apps/{app['id']}/start")
    error = await answer.get_json()
    assert (answer.status_code, error["error"]) == (409, "rights_changed")
    assert error["rights"] == [f"main:host_path:{folder} -> /etc:rw"]
    assert (await node.app(app["id"]))["status"] == "stopped"


async def test_a_key_gives_no_consent(cloudos, docker_engine):
    settings = {"auth": {"bcrypt_cost": 4}, "apps": {"docker_host": docker_engine.host, "min_free_mb": 1}}
    host = await cloudos("auth", "apps", settings=settings)
    account = {"username": "admin", "password": "a long password"}
    await host.anonymous.post("/api/auth/setup", json=account)
    token = (await (await host.anonymous.post("/api/auth/login", json=account)).get_json())["access_token"]
    person = Client(host.host.app, token)
    made = await person.post("/api/keys", json={"name": "ci", "scopes": ["apps:write", "apps:read"]})
    key = Client(host.host.app, (await made.get_json())["key"])
    folder = host.ctx("apps").data_dir / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "risky.yaml").write_text(
        "{name: risky, display_name: Risky, category: own, version: '1',"
        f" services: [{{name: main, image: '{docker_engine.image('web:1.0')}', privileged: true}}]}}"
    )
    rights = (await (await person.get("/api/templates/risky")).get_json())["rights"]
    assert "main:privileged" in rights and "source:folder" in rights
    body = {"template": "risky", "name": "risky", "allow": rights}
    answer = await key.post("/api/apps", json=body)
    error = await answer.get_json()
    assert (answer.status_code, error["error"], error["rights"]) == (403, "person_required", rights)
    assert await (await key.get("/api/apps")).get_json() == []
    installed = await person.post("/api/apps", json=body)
    assert installed.status_code == 201, await installed.get_json()
    await host.stop()
    docker_engine.clean()


async def test_a_port_below_1024_is_asked_for_whoever_chose_it(node):
    port = {"name": "http", "container": 8000}
    choice = {"name": "http", "type": "port", "default": 1023}
    node.offer(make_template("low", {"name": "main", "image": node.engine.image("web:1.0"), "ports": [port]},
                             config=[choice]))  # fmt: skip
    status, error = await node.post({"template": "low", "name": "low"}, node.operator)
    assert (status, error["dangers"], error["rights"]) == (403, ["low_ports"], ["main:port:1023/tcp"])
    app = await node.install("low", "low", config={"http": 21_023})
    answer = await node.operator.put(f"/api/apps/{app['id']}", json={"config": {"http": 1023}})
    assert (await answer.get_json())["rights"] == ["main:port:1023/tcp"]
    body = {"config": {"http": 1023}, "allow": ["main:port:1023/tcp"]}
    answer = await node.operator.put(f"/api/apps/{app['id']}", json=body)
    assert answer.status_code == 202, "an operator may: it is no way to the machine"
    await node.operation((await answer.get_json())["operation_id"])


async def test_apps_of_before_keep_what_their_templates_ask_for_and_no_more(node, tmp_path):
    from cloudos_apps.models import App
    from sqlalchemy import update as change

    node.offer(reaching(node, volumes=[{"host_path": str(tmp_path), "path": "/mnt", "read_only": True}]))
    app = await node.install("reaching", "reaching", allow=[f"main:host_path:{tmp_path}:ro"])
    await node.host.ctx("apps").db.write(lambda s: s.execute(change(App).values(rights=None, mounts=None)))
    await node.host.restart()
    await node.restart_clients()
    assert (await node.app(app["id"]))["rights"] == sorted([f"main:host_path:{tmp_path}:ro", *node.programs()])
    await node.until(app["id"], "running")
    node.offer(reaching(node, version="2.0", volumes=[{"host_path": str(tmp_path), "path": "/mnt"}]))
    status, error = await update(node, app, node.operator)
    assert (status, error["rights"]) == (403, [f"main:host_path:{tmp_path}:rw"])


@pytest.fixture
def paths(tmp_path):
    """Judge paths of a machine whose engine listens in a folder of its own."""
    (tmp_path / "engine").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "engine" / "engine.sock"))
        (tmp_path / "data" / "apps" / "files").mkdir(parents=True)
        yield HostPaths(tmp_path / "data/apps/files", f"unix://{tmp_path}/engine/engine.sock", tmp_path / "data")


def asked(paths, host_path, **more):
    volume = {"host_path": str(host_path), "path": "/mnt", **more}
    about = {"name": "t", "display_name": "T", "category": "t", "version": "1"}
    template = Template.model_validate({**about, "services": [{"name": "a", "image": "a:1", "volumes": [volume]}]})
    return texts_of(rights_of(template, {}, paths))


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/run", "/var/run", "/var", "/run/docker.sock", "/var/run/docker.sock", "/run/containerd"),
        *(
            "/run/containerd/containerd.sock",
            "/run/podman/podman.sock",
            "/var/run/crio/crio.sock",
            "/proc",
            "/proc/1/root",
        ),
        "/proc/1/root" + "/run/docker.sock",
        *("/var/lib/docker", "/run/user/1000/docker.sock", "/var/lib/docker/volumes"),
    ],
)
def test_an_engine_is_known_by_every_way_to_it(paths, path):
    (right,) = asked(paths, path)
    assert right.startswith("a:docker_socket:"), right


def test_the_folder_of_an_engine_that_keeps_its_files_elsewhere_is_the_engine(paths, tmp_path):
    root, files = tmp_path / "big" / "docker", tmp_path / "data" / "apps" / "files"
    (root / "volumes").mkdir(parents=True)
    (tmp_path / "link").symlink_to(root)
    assert asked(paths, root / "volumes") == [f"a:host_path:{root}/volumes:rw"]
    paths.learn_root(tmp_path / "link")
    for path in (root, root / "volumes", root / "volumes" / "x" / "_data", root.parent, tmp_path / "link"):
        (right,) = asked(paths, path)
        assert right.startswith("a:docker_socket:"), right
        assert paths.grave(str(path), read_only=True)
    assert asked(paths, tmp_path / "big-other") == [f"a:host_path:{tmp_path}/big-other:rw"]
    paths.learn_root(files / "docker")
    assert asked(paths, files / "docker")[0].startswith("a:docker_socket:"), "also where it lies in the apps' files"


async def test_the_engine_tells_where_its_files_are_before_an_app_is_stored(node):
    root = await asyncio.to_thread(node.engine.cli, "info", "-f", "{{.DockerRootDir}}")
    node.offer(reaching(node, volumes=[{"host_path": f"{root.strip()}/volumes", "path": "/mnt"}]))
    right = f"main:host_path:{root.strip()}/volumes:rw"
    status, error = await node.post({"template": "reaching", "name": "reaching", "allow": [right]})
    assert (status, error["dangers"]) == (403, ["docker_socket"])
    assert right not in error["rights"]


def test_an_engine_is_known_behind_links_aliases_and_its_own_folder(paths, tmp_path):
    engine = tmp_path / "engine"
    (tmp_path / "link").symlink_to("engine")
    (tmp_path / "chain").symlink_to(tmp_path / "link" / "engine.sock")
    (tmp_path / "alias").hardlink_to(engine / "engine.sock")
    for path in (engine, engine / "engine.sock", tmp_path / "link", tmp_path / "chain", tmp_path / "alias", tmp_path):
        (right,) = asked(paths, path)
        assert right.startswith("a:docker_socket:"), right
    assert asked(paths, tmp_path / "other") == [f"a:host_path:{tmp_path}/other:rw"]


def test_where_a_link_leads_is_part_of_the_right(paths, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "films").symlink_to(tmp_path / "media")
    (tmp_path / "system").symlink_to("/etc")
    (tmp_path / "circle").symlink_to("circle")
    assert asked(paths, tmp_path / "films") == [f"a:host_path:{tmp_path}/films -> {tmp_path}/media:rw"]
    assert asked(paths, tmp_path / "system") == [f"a:host_path:{tmp_path}/system -> /etc:rw"]
    assert asked(paths, tmp_path / "circle") == [f"a:host_path:{tmp_path}/circle:rw"]


def test_a_trail_names_each_folder_in_which_a_name_is_looked_up(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "out").symlink_to(tmp_path / "b")
    (tmp_path / "in").symlink_to("a/out")
    real, folders = trail(str(tmp_path / "in" / "x"))
    assert real == str(tmp_path / "b" / "x")
    assert str(tmp_path / "a") in folders and str(tmp_path / "b") in folders


def test_only_a_name_directly_in_the_files_is_free(paths, tmp_path):
    files = tmp_path / "data" / "apps" / "files"
    (files / "folder" / "deeper").mkdir(parents=True)
    (files / "link").symlink_to(tmp_path)
    (files / "note").write_text("x")
    for free in ("folder", "note", "not-there-yet"):
        assert asked(paths, files / free) == []
    for path in (files, files / "folder" / "deeper", files / "link", files.parent, files / "none" / "deeper"):
        assert asked(paths, path) != [], path
    assert json.dumps(asked(paths, files.parent)).count("host_path") == 1


async def test_two_installs_at_once_do_not_come_to_lie_within_each_other(node, tmp_path):
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    for name, path in (("one", outer), ("two", inner)):
        service = {"name": "main", "image": node.engine.image("web:1.0")}
        node.offer(make_template(name, {**service, "volumes": [{"host_path": str(path), "path": "/mnt"}]}))
    answers = await asyncio.gather(
        node.post({"template": "one", "name": "one", "allow": [f"main:host_path:{outer}:rw"]}),
        node.post({"template": "two", "name": "two", "allow": [f"main:host_path:{inner}:rw"]}),
    )
    assert sorted(status for status, _ in answers) == [201, 409]
    (refused,) = (body for status, body in answers if status == 409)
    assert refused["error"] == "paths_nested" and "one" in refused["message"] and "two" in refused["message"]
    (made,) = (body for status, body in answers if status == 201)
    await node.until(made["id"], "running")


async def test_a_right_that_cannot_be_shown_as_it_is_cannot_be_allowed(node, tmp_path):
    for odd in ("\n", "\x1b[2K", "\u202e", "\x85"):
        node.offer(reaching(node, volumes=[{"host_path": f"{tmp_path}/a{odd}b", "path": "/mnt"}]))
        right = f"main:host_path:{tmp_path}/a{odd}b:rw"
        status, error = await node.post({"template": "reaching", "name": "odd", "allow": [right]})
        assert (status, error["error"]) == (409, "right_not_shown") and odd not in error["message"]


async def test_who_is_no_admin_any_more_when_the_app_is_stored_has_allowed_nothing(cloudos, docker_engine, monkeypatch):
    """The engine is asked between the admission of the request and the transaction; it may take its time."""
    settings = {"auth": {"bcrypt_cost": 4}, "apps": {"docker_host": docker_engine.host, "min_free_mb": 1}}
    host = await cloudos("auth", "apps", settings=settings)
    account = {"username": "admin", "password": "a long password"}
    await host.anonymous.post("/api/auth/setup", json=account)

    async def signed_in(account):
        answer = await host.anonymous.post("/api/auth/login", json=account)
        return Client(host.host.app, (await answer.get_json())["access_token"])

    admin = await signed_in(account)
    other = {"username": "other", "password": "another password"}
    made = await (await admin.post("/api/users", json={**other, "role": "admin"})).get_json()
    person = await signed_in(other)
    service = {"name": "main", "image": docker_engine.image("web:1.0"), "cap_add": ["NET_RAW"]}
    about = {"name": "reaching", "display_name": "R", "category": "c", "version": "1", "services": [service]}
    await admin.post("/api/templates/sources", json={"name": "mgr", "content": json.dumps(about)})
    rights = (await (await admin.get("/api/templates/mgr.reaching")).get_json())["rights"]
    look = ConsentService.look

    async def slow(self, template):
        found = await look(self, template)
        assert (await admin.put(f"/api/users/{made['id']}", json={"role": "viewer"})).status_code == 200
        return found

    monkeypatch.setattr(ConsentService, "look", slow)
    answer = await person.post("/api/apps", json={"template": "mgr.reaching", "name": "r", "allow": rights})
    assert (answer.status_code, (await answer.get_json())["error"]) == (403, "rights_changed")
    assert await (await admin.get("/api/apps")).get_json() == []
    await host.stop()
    docker_engine.clean()
