"""Folders of the machine: none lies within another that an app can write, whoever starts the container."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from app_node import make_template
from cloudos_apps.consent import service
from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.lifecycle import relocation
from cloudos_apps.models import App
from sqlalchemy import update


def with_folders(node, name, *paths, read_only=False):
    volumes = [{"host_path": str(path), "path": f"/m{n}", "read_only": read_only} for n, path in enumerate(paths)]
    return make_template(name, {"name": "main", "image": node.engine.image("web:1.0"), "volumes": volumes})


def files_of(node):
    return node.host.ctx("apps").data_dir / "files"


async def test_a_folder_within_one_that_an_app_can_write_is_refused_either_way(node, tmp_path):
    files, outside = files_of(node), tmp_path / "media"
    (outside / "films").mkdir(parents=True)
    for outer, inner in ((files / "a", files / "a" / "b"), (outside, outside / "films")):
        node.offer(with_folders(node, "both", outer, inner))
        allow = [f"main:host_path:{path}:rw" for path in (outer, inner)]
        status, error = await node.post({"template": "both", "name": "both", "allow": allow})
        assert (status, error["error"], error["path"], error["within"]) == (409, "paths_nested", str(inner), str(outer))
    for first, second in ((outside, outside / "films"), (outside / "films", outside)):
        node.offer(with_folders(node, "one", first), with_folders(node, "two", second))
        one = await node.install("one", "one", allow=[f"main:host_path:{first}:rw"])
        status, error = await node.post({"template": "two", "name": "two", "allow": [f"main:host_path:{second}:rw"]})
        assert (status, error["error"]) == (409, "paths_nested"), error
        assert "one" in error["message"] and "two" in error["message"]
        await node.client.delete(f"/api/apps/{one['id']}")


async def test_the_same_folder_and_one_within_a_folder_that_is_only_read_are_no_trouble(node, tmp_path):
    outside = tmp_path / "media"
    (outside / "films").mkdir(parents=True)
    node.offer(with_folders(node, "reader", outside, read_only=True), with_folders(node, "writer", outside / "films"))
    await node.install("reader", "reader", allow=[f"main:host_path:{outside}:ro"])
    await node.install("writer", "writer", allow=[f"main:host_path:{outside}/films:rw"])
    await node.install("writer", "other", allow=[f"main:host_path:{outside}/films:rw"])


async def test_a_way_through_a_folder_that_an_app_can_write_is_seen_behind_links(node, tmp_path):
    open_, safe = tmp_path / "open", tmp_path / "safe"
    open_.mkdir()
    safe.mkdir()
    (open_ / "step").symlink_to(safe)
    (tmp_path / "way").symlink_to(open_ / "step")
    node.offer(with_folders(node, "one", open_), with_folders(node, "two", tmp_path / "way"))
    await node.install("one", "one", allow=[f"main:host_path:{open_}:rw"])
    right = f"main:host_path:{tmp_path}/way -> {safe}:rw"
    status, error = await node.post({"template": "two", "name": "two", "allow": [right]})
    assert (status, error["error"]) == (409, "paths_nested")


async def test_a_file_directly_in_the_files_is_mounted_as_it_is(node):
    files = files_of(node)
    files.mkdir(parents=True, exist_ok=True)
    (files / "settings.ini").write_text("mine")
    node.offer(with_folders(node, "one", files / "settings.ini"))
    await node.install("one", "one", allow=[f"main:host_path:{files}/settings.ini:rw"])
    (container,) = node.containers()
    assert node.engine.cli("exec", container, "cat", "/m0") == "mine"


async def test_an_app_that_runs_as_another_user_reads_the_folder_that_was_made_for_it(node):
    folder, before = files_of(node) / "settings", os.umask(0o077)  # as the node runs
    try:
        volumes = [{"host_path": str(folder), "path": "/m0", "read_only": True}]
        service = {"name": "main", "image": node.engine.image("web:1.0"), "volumes": volumes}
        node.offer(make_template("one", service))
        await node.install("one", "one")
    finally:
        os.umask(before)
    (folder / "a.ini").write_text("mine")
    (folder / "a.ini").chmod(0o644)
    (container,) = node.containers()
    assert node.engine.cli("exec", "-u", "1000", container, "cat", "/m0/a.ini") == "mine"


async def before_the_rule(node, monkeypatch, *paths, name="old"):
    """Install an app as an older version did: folders below the files freely, within each other too."""
    node.offer(with_folders(node, name, *paths))
    with monkeypatch.context() as patch:
        patch.setattr(service, "check_nesting", lambda *_: None)
        allow = [f"main:host_path:{path}:rw" for path in paths]
        app = await node.install(name, name, allow=allow)
    await node.host.ctx("apps").db.write(lambda s: s.execute(update(App).values(rights=None, mounts=None)))
    return app


def sources(node, app):
    (container,) = node.containers(app["id"])
    found = json.loads(node.engine.cli("inspect", "-f", "{{json .Mounts}}", container))
    return {mount["Destination"]: mount["Source"] for mount in found}


async def moved(node, app, seconds=20):
    """Wait until a new container of an app runs, and no old one is left."""
    async with asyncio.timeout(seconds):
        while node.containers(app["id"]) != [f"cloudos-{app['id']}-main-2"]:
            await asyncio.sleep(0.1)
    return await node.until(app["id"], "running")


@pytest.mark.parametrize("cut", [None, "hold", "move", "note", "create"])
async def test_a_nested_folder_is_moved_out_with_all_that_is_in_it_whenever_the_host_dies(node, monkeypatch, cut):
    files = files_of(node)
    app = await before_the_rule(node, monkeypatch, files / "a", files / "a" / "b")
    (container,) = node.containers()
    node.engine.cli("exec", container, "sh", "-c", "echo kept >/m1/note")
    assert (files / "a" / "b" / "note").exists()
    await node.host.stop()
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    if cut is not None:
        with monkeypatch.context() as patch:
            if cut in ("hold", "create"):

                async def stuck(self, *args):
                    reached.set()
                    await asyncio.Event().wait()

                patch.setattr(DockerEngine, cut, stuck)
            elif cut == "move":
                rename = relocation.move

                def move_and_die(*args):
                    rename(*args)
                    loop.call_soon_threadsafe(reached.set)
                    raise SystemError("cut off")

                patch.setattr(relocation, "move", move_and_die)
            else:

                def die(self, *args):
                    loop.call_soon_threadsafe(reached.set)
                    raise SystemError("cut off")

                patch.setattr(relocation.Relocation, "_note", die)
            await node.host.start()
            await asyncio.wait_for(reached.wait(), 15)
            await node.host.stop()
    await node.host.start()
    await node.restart_clients()
    await moved(node, app)
    place = sources(node, app)
    assert place["/m0"] == str(files / "a")
    assert place["/m1"] == relocation.flat(str(files), str(files / "a" / "b"))
    (container,) = node.containers(app["id"])
    assert node.engine.cli("exec", container, "cat", "/m1/note") == "kept"
    assert (await node.app(app["id"]))["rights"] == []
    await node.host.restart()
    await node.restart_clients()
    await asyncio.sleep(0.5)
    assert node.containers(app["id"]) == [container]


async def test_neither_we_nor_the_engine_follow_a_link_that_an_app_put_in_the_place_of_a_folder(node, monkeypatch):
    files = files_of(node)
    app = await before_the_rule(node, monkeypatch, files / "a", files / "a" / "b")
    await node.host.stop()
    (files / "a" / "b").rmdir()
    (files / "a" / "b").symlink_to("/")
    await node.host.start()
    await node.restart_clients()
    stopped = await node.until(app["id"], "stopped")
    assert "link" in stopped["error"] and str(files / "a" / "b") in stopped["error"]
    node.engine.stop()
    node.engine.start()
    assert node.engine.names("ps", "-q", "--filter", f"label=cloudos.app={app['id']}") == []
    answer = await node.client.post(f"/api/apps/{app['id']}/start")
    assert answer.status_code == 409, await answer.get_json()
    assert node.engine.names("ps", "-q", "--filter", f"label=cloudos.app={app['id']}") == []


async def test_an_app_that_puts_a_link_in_its_folder_gets_nothing_of_the_machine_from_the_engine(node):
    files = files_of(node)
    node.offer(with_folders(node, "one", files / "a", files / "b"))
    app = await node.install("one", "one")
    (container,) = node.containers()
    for command in ("rm -rf /m0/b; ln -s / /m0/b", "ln -s / /m1/root", "rmdir /m1", "rm -rf /m1; ln -s / /m1"):
        node.engine.cli("exec", container, "sh", "-c", f"({command}) || true")
    node.engine.stop()
    node.engine.start()
    await node.until(app["id"], "running")
    place = sources(node, app)
    assert place == {"/m0": str(files / "a"), "/m1": str(files / "b")}
    assert node.engine.cli("exec", container, "sh", "-c", "cd /m1 && pwd -P") == "/m1"


async def test_folders_of_an_old_app_that_lie_in_nobodys_way_stay_where_they_are(node, monkeypatch):
    files = files_of(node)
    app = await before_the_rule(node, monkeypatch, files / "media" / "films")
    before = node.containers(app["id"])
    await node.host.restart()
    await node.restart_clients()
    await node.until(app["id"], "running")
    await asyncio.sleep(0.5)
    assert node.containers(app["id"]) == before
    assert (await node.app(app["id"]))["rights"] == sorted(
        [f"main:host_path:{files}/media/films:rw", *node.programs("old")]
    )


async def test_a_device_is_not_looked_for_in_a_folder_that_an_app_can_write(node, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    service = {"name": "main", "image": node.engine.image("web:1.0"), "devices": [f"{media}/disk:/dev/disk"]}
    node.offer(make_template("disk", {**service, "volumes": [{"host_path": str(media), "path": "/m"}]}))
    allow = [f"main:host_path:{media}:rw", f"main:device:{media}/disk:/dev/disk"]
    status, error = await node.post({"template": "disk", "name": "disk", "allow": allow})
    assert (status, error["error"], error["path"]) == (409, "paths_nested", f"{media}/disk")


async def test_a_name_in_the_files_that_another_app_has_is_asked_for_and_an_admin_decides(node):
    files = files_of(node)
    (files / "there").mkdir(parents=True)
    node.offer(with_folders(node, "one", files / "shared"), with_folders(node, "two", files / "shared"))
    one = await node.install("one", "one")
    right = f"main:host_path:{files}/shared:rw"
    asked = sorted([right, *node.programs("two")])
    shown = await (await node.client.get("/api/templates/two")).get_json()
    assert (shown["rights"], shown["dangers"]) == (asked, ["host_paths"])
    for allow in ([], asked):
        status, error = await node.post({"template": "two", "name": "two", "allow": allow}, node.operator)
        assert (status, error["error"], error["rights"]) == (403, "template_not_allowed", asked)
    two = await node.install("two", "two", allow=[right])
    for app in (one, two):
        for action in ("stop", "start"):
            answer = await node.operator.post(f"/api/apps/{app['id']}/{action}")
            assert answer.status_code == 200, await answer.get_json()
    assert ((await node.app(one["id"]))["rights"], (await node.app(two["id"]))["rights"]) == ([], asked)
    node.offer(with_folders(node, "three", files / "there"))
    status, error = await node.post({"template": "three", "name": "three"}, node.operator)
    assert (status, error["rights"][1]) == (403, f"main:host_path:{files}/there:rw")


async def test_a_folder_that_was_allowed_to_be_read_is_not_written_after_an_update(node):
    files = files_of(node)
    node.offer(with_folders(node, "one", files / "shared"), with_folders(node, "two", files / "shared", read_only=True))
    await node.install("one", "one")
    two = await node.install("two", "two", allow=[f"main:host_path:{files}/shared:ro"])
    node.offer(with_folders(node, "two", files / "shared").model_copy(update={"version": "2.0"}))
    answer = await node.operator.put(f"/api/apps/{two['id']}", json={"version": "latest"})
    error = await answer.get_json()
    assert (answer.status_code, error["rights"]) == (403, [f"main:host_path:{files}/shared:rw"])


async def test_two_installs_at_once_do_not_get_the_same_new_folder(node):
    files = files_of(node)
    node.offer(with_folders(node, "one", files / "new"), with_folders(node, "two", files / "new"))
    answers = await asyncio.gather(
        *(node.post({"template": name, "name": name}, node.operator) for name in ("one", "two"))
    )
    assert sorted(status for status, _ in answers) == [201, 403]
    (made,) = (body for status, body in answers if status == 201)
    await node.until(made["id"], "running")


async def test_apps_that_shared_a_folder_before_it_was_asked_for_keep_it(node):
    files = files_of(node)
    node.offer(with_folders(node, "one", files / "shared"), with_folders(node, "two", files / "shared"))
    await node.install("one", "one")
    two = await node.install("two", "two", allow=[f"main:host_path:{files}/shared:rw"])
    db = node.host.ctx("apps").db
    await db.write(lambda s: s.execute(update(App).values(rights="[]", source=None)))
    await node.host.restart()
    await node.restart_clients()
    await node.until(two["id"], "running")
    for action in ("stop", "start"):
        answer = await node.operator.post(f"/api/apps/{two['id']}/{action}")
        assert answer.status_code == 200, await answer.get_json()
