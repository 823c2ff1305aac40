"""What is refused before anything happens, and why."""

from __future__ import annotations

import socket

from app_node import make_template
from components.ports import free_port


async def test_an_unknown_template_is_named(node):
    status, error = await node.post({"template": "wep", "name": "blog"})
    assert (status, error["error"]) == (404, "template_not_found")
    assert "wep" in error["message"]


async def test_a_name_must_do_as_a_subdomain(node):
    for name in ("", "-blog", "Blog", "a b", "blog.", "../x", "b" * 64, "blög"):
        status, error = await node.post({"template": "web", "name": name})
        assert (status, error["error"], error["fields"][0]["path"]) == (400, "invalid_request", "name"), name


async def test_settings_that_do_not_fit_are_named(node):
    status, error = await node.post({"template": "web", "name": "blog", "config": {"greetin": "x", "password": 5}})
    assert (status, error["error"]) == (400, "invalid_request")
    assert {field["path"] for field in error["fields"]} == {"config.greetin", "config.password"}


async def test_viewers_may_look_and_not_touch(node):
    status, error = await node.post({"template": "web", "name": "blog"}, node.viewer)
    assert (status, error["error"]) == (403, "forbidden")
    app = await node.install()
    assert (await node.viewer.get("/api/apps")).status_code == 200
    assert (await node.viewer.get(f"/api/apps/{app['id']}/logs")).status_code == 200
    for action in ("start", "stop", "restart"):
        assert (await node.viewer.post(f"/api/apps/{app['id']}/{action}")).status_code == 403
    assert (await node.viewer.put(f"/api/apps/{app['id']}", json={})).status_code == 403
    assert (await node.viewer.delete(f"/api/apps/{app['id']}")).status_code == 403
    assert (await node.operator.post(f"/api/apps/{app['id']}/stop")).status_code == 200


async def test_an_app_that_there_is_not_is_404_everywhere(node):
    path = "/api/apps/app_thereisnone"
    for method, url in (
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/start"),
        ("POST", f"{path}/stop"),
        ("POST", f"{path}/restart"),
        ("GET", f"{path}/logs"),
        ("GET", f"{path}/logs?follow=true"),
        ("GET", f"{path}/stats"),
    ):
        answer = await node.client.request(method, url)
        assert (answer.status_code, (await answer.get_json())["error"]) == (404, "app_not_found"), url
    assert (await node.client.put(path, json={"config": {}})).status_code == 404


def dangerous(node, kind, folder):
    service = {
        "docker_socket": {"volumes": [{"host_path": "/var/run/docker.sock", "path": "/docker.sock"}]},
        "host_network": {"network_mode": "host"},
        "privileged": {"privileged": True},
        "host_paths": {"volumes": [{"host_path": f"{folder}", "path": "/mnt"}]},
    }[kind]
    return make_template("risky", {"name": "main", "image": node.engine.image("web:1.0"), **service})


async def test_a_danger_is_refused_unless_an_admin_allows_it_by_name(node, tmp_path):
    for kind in ("docker_socket", "host_network", "privileged", "host_paths"):
        node.offer(dangerous(node, kind, tmp_path))
        body = {"template": "risky", "name": "risky"}
        status, error = await node.post(body)
        assert (status, error["error"], error["dangers"]) == (403, "template_not_allowed", [kind])
        assert error["rights"][0].startswith("main:") and error["rights"][0] in error["message"]
        for other in ("main:privileged:x", kind, f"other{error['rights'][0][4:]}"):
            assert (await node.post({**body, "allow": [other]}))[0] == 403
        assert (await node.post({**body, "allow": error["rights"]}, node.operator))[0] == 403
        assert not await (await node.client.get("/api/apps")).get_json()


async def test_an_admin_may_allow_a_danger(node, tmp_path):
    (tmp_path / "note").write_text("from the machine")
    node.offer(dangerous(node, "host_paths", tmp_path))
    app = await node.install("risky", "risky", allow=[f"main:host_path:{tmp_path}:rw"])
    rights = sorted([f"main:host_path:{tmp_path}:rw", *node.programs("risky")])
    assert (await node.app(app["id"]))["rights"] == rights
    (event,) = await node.events("app.rights_allowed")
    assert (event.resource, event.data["rights"]) == (app["id"], rights)
    (name,) = node.containers()
    assert node.engine.cli("exec", name, "cat", "/mnt/note") == "from the machine"


async def test_a_path_in_the_apps_data_folder_is_no_danger(node):
    folder = node.host.ctx("apps").data_dir / "files" / "media"
    node.offer(dangerous(node, "host_paths", folder))
    await node.install("risky", "risky")
    (name,) = node.containers()
    node.engine.cli("exec", name, "touch", "/mnt/here")
    assert (folder / "here").exists()


async def test_a_link_out_of_the_data_folder_is_a_danger(node, tmp_path):
    files = node.host.ctx("apps").data_dir / "files"
    files.mkdir(parents=True)
    (files / "out").symlink_to(tmp_path)
    node.offer(dangerous(node, "host_paths", files / "out"))
    assert (await node.post({"template": "risky", "name": "risky"}))[0] == 403


async def test_the_plugins_own_files_are_a_danger(node):
    for inside in ("", "node"):
        node.offer(dangerous(node, "host_paths", node.host.ctx("apps").data_dir / inside))
        assert (await node.post({"template": "risky", "name": "risky"}))[0] == 403


def fixed(node, port, name="fixed"):
    service = {"name": "web", "image": node.engine.image("web:1.0")}
    return make_template(name, {**service, "ports": [{"name": "http", "container": 8000, "host": port}]})


async def test_a_port_that_a_program_holds_is_refused_and_the_program_named(node):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        node.offer(fixed(node, port))
        status, error = await node.post({"template": "fixed", "name": "fixed"})
    assert (status, error["error"], error["port"]) == (409, "port_in_use", port)
    assert "python" in error["message"] and "pid" in error["message"]


async def test_a_port_that_an_app_holds_is_refused_and_the_app_named_even_while_it_is_stopped(node):
    node.offer(fixed(node, free_port()))
    app = await node.install("fixed", "first")
    await node.client.post(f"/api/apps/{app['id']}/stop")
    status, error = await node.post({"template": "fixed", "name": "second"})
    assert (status, error["error"]) == (409, "port_in_use")
    assert "first" in error["message"]


async def test_a_full_disk_is_told_before_anything_is_pulled(cloudos, docker_engine):
    settings = {"docker_host": docker_engine.host, "min_free_mb": 10**9}
    host = await cloudos("apps", settings={"apps": settings})
    answer = await host.client.post("/api/apps", json={"template": "gitea", "name": "git"})
    error = await answer.get_json()
    assert (answer.status_code, error["error"]) == (507, "insufficient_storage")
    assert "MB" in error["message"]
