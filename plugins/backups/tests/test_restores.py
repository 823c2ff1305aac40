"""Restores: files browsed and downloaded, what would change, an app in place or put back."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile

import pytest
from backup_node import until


@pytest.fixture
async def saved(node, things):
    """Return a node with one app, its volume and a backup of it."""
    data = things.put("app_1", "blog", "data")
    (data / "posts").mkdir()
    (data / "posts" / "one").write_text("the first")
    (data / "posts" / "läß [x]*").write_text("odd name")
    (data / "key").write_text("secret")
    (data / "key").chmod(0o640)
    os.chown(data / "key", 123, 456)
    (data / "link").symlink_to("posts/one")
    await node.add_target()
    return node, data, await node.back_up()


async def restore(node, backup, status="succeeded", **body):
    begun = await node.ask("POST", f"backups/{backup['id']}/restore", 202, json=body)
    return await node.operation(begun["operation_id"], status)


def tree(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else None
        found[str(path.relative_to(folder))] = (about.st_mode, about.st_uid, about.st_gid, content)
    return found


async def test_a_backup_is_browsed_by_app_and_volume_and_its_files_are_downloaded(saved):
    node, _, made = saved
    path = f"backups/{made['id']}/files"
    assert [(found["path"], found["name"]) for found in await node.ask("GET", path)] == [("/app_1", "blog")]
    assert [found["path"] for found in await node.ask("GET", f"{path}?path=/blog")] == ["/app_1/data"]
    listed = await node.ask("GET", f"{path}?path=/app_1/data")
    assert [(found["name"], found["type"]) for found in listed] == [
        ("posts", "dir"),
        ("key", "file"),
        ("link", "symlink"),
    ]
    answer = await node.running.client.get(f"/api/{path}?path=/app_1/data/posts/one&download=true")
    assert await answer.get_data() == b"the first"
    odd = await node.running.client.get(
        f"/api/{path}", query_string={"path": "/app_1/data/posts/läß [x]*", "download": "true"}
    )
    assert await odd.get_data() == b"odd name"
    folder = await node.running.client.get(f"/api/{path}?path=/app_1/data/posts&download=true")
    with tarfile.open(fileobj=io.BytesIO(await folder.get_data())) as archive:
        assert sorted(os.path.basename(name) for name in archive.getnames() if name)[-2:] == ["läß [x]*", "one"]
    assert (await node.events("backup.file_read"))[0].data["path"] == "/app_1/data/posts/one"
    await node.ask("GET", f"{path}?path=/app_1/data/none", 404)
    await node.ask("GET", f"{path}?path=/app_2", 404)
    await node.ask("GET", f"{path}?path=/app_1/data/../../etc", 400)
    await node.ask("GET", f"{path}?path=/app_1/data/none&download=true", 404)
    await node.ask("GET", f"{path}?path=/app_1/data", 403, client=node.running.viewer)


async def test_a_dry_run_says_what_would_change_and_changes_nothing(saved):
    node, data, made = saved
    (data / "posts" / "one").write_text("changed since")
    (data / "posts" / "two").write_text("new since")
    (data / "key").unlink()
    before = tree(data)
    found = await node.ask("POST", f"backups/{made['id']}/restore", json={"dry_run": True})
    (app,) = found["apps"]
    (folder,) = app["folders"]
    assert (folder["first_added"], folder["first_changed"], folder["first_removed"]) == (
        ["key"],
        ["posts/one"],
        ["posts/two"],
    )
    assert app["makes_app"] is False and app["needed_bytes"] > 0
    assert tree(data) == before
    assert node.things.data.holds == [("app_1", "pause")]


async def test_an_app_is_restored_in_place_as_it_was_with_modes_owners_and_links(saved):
    node, data, made = saved
    before = tree(data)
    (data / "posts" / "one").write_text("broken")
    (data / "key").unlink()
    (data / "junk").mkdir()
    done = await restore(node, made, apps=["app_1"])
    assert tree(data) == before
    assert node.things.data.holds[-1] == ("app_1", "close") and node.things.data.held == {}
    assert [path.name for path in data.parent.iterdir()] == ["_data"], "nothing is left beside it"
    assert done["result"]["restored"] == [{"app_id": "app_1", "name": "blog"}]
    (event,) = await node.events("backup.restored")
    assert event.data["app"] == "app_1"


async def test_an_app_that_does_not_become_well_is_as_it_was_before(saved):
    node, data, made = saved
    (data / "posts" / "one").write_text("newer")
    before = tree(data)
    node.things.data.unwell.add("app_1")
    failed = await restore(node, made, "failed")
    assert "healthy" in failed["message"]
    assert tree(data) == before
    assert [path.name for path in data.parent.iterdir()] == ["_data"]
    assert node.things.data.held == {}
    assert [event.data["app"] for event in await node.events("backup.restore_failed")] == ["app_1"]


async def test_settings_of_the_backup_come_back_with_the_data_and_go_back_where_it_fails(saved):
    from dataclasses import replace

    node, _, made = saved
    data = node.things.data
    then = data.apps["app_1"].definition
    data.put(replace(data.apps["app_1"], definition='{"secret": "newer"}'))
    dry = await node.ask("POST", f"backups/{made['id']}/restore", json={"dry_run": True})
    assert dry["apps"][0]["changes_settings"] is True
    data.unwell.add("app_1")
    await restore(node, made, "failed")
    assert data.apps["app_1"].definition == '{"secret": "newer"}'
    data.unwell.clear()
    await restore(node, made)
    assert data.apps["app_1"].definition == then


async def test_a_dump_is_read_into_an_empty_volume(node, things):
    data = things.put("app_1", "db", "data", dumps=[("all.sql", "database", ("data",))])
    data.chmod(0o700)
    (data / "table").write_text("raw")
    things.data.dumps["app_1", "all.sql"] = "create table x"
    await node.add_target()
    made = await node.back_up()
    await restore(node, made)
    assert things.data.loaded == {("app_1", "all.sql"): "create table x"}
    assert list(data.iterdir()) == [] and data.stat().st_mode & 0o777 == 0o700
    assert not (node.folder / "data" / "backups" / "restore").exists() or not list(
        (node.folder / "data" / "backups" / "restore").iterdir()
    )


async def test_room_is_asked_for_before_anything_is_touched(saved, monkeypatch):
    from cloudos_backups.restore import fetcher

    node, data, made = saved
    monkeypatch.setattr(fetcher, "_SPARE", 1 << 60)
    before = tree(data)
    failed = await restore(node, made, "failed")
    assert "free" in failed["message"]
    assert tree(data) == before and node.things.data.held == {}


async def test_single_files_come_back_and_what_was_there_is_kept(saved):
    node, data, made = saved
    (data / "posts" / "one").write_text("newer")
    done = await restore(node, made, apps=["app_1"], paths=["/app_1/data/posts/one"])
    assert (data / "posts" / "one").read_text() == "the first"
    (kept,) = done["result"]["restored"][0]["kept"]
    assert (data / "posts" / os.path.basename(kept)).read_text() == "newer"
    assert node.things.data.holds == [("app_1", "pause")], "the app goes on meanwhile"
    (data / "posts" / "one").unlink()
    os.rename(data / "posts", data / "old")
    await restore(node, made, apps=["app_1"], paths=["/app_1/data/posts/läß [x]*"])
    assert [path.name for path in (data / "posts").iterdir()] == ["läß [x]*"]


async def test_no_link_leads_a_restored_file_out_of_its_folder(saved, tmp_path):
    node, data, made = saved
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "one").write_text("somebody else's")
    os.rename(data / "posts", data / "old")
    (data / "posts").symlink_to(outside)
    failed = await restore(node, made, "failed", apps=["app_1"], paths=["/app_1/data/posts/one"])
    assert "link" in failed["message"]
    assert (outside / "one").read_text() == "somebody else's" and len(list(outside.iterdir())) == 1


async def test_a_volume_that_is_a_link_now_is_not_replaced(saved, tmp_path):
    node, data, made = saved
    elsewhere = tmp_path / "elsewhere"
    os.rename(data, elsewhere)
    data.symlink_to(elsewhere)
    failed = await restore(node, made, "failed")
    assert "is a link" in failed["message"]
    assert (elsewhere / "key").read_text() == "secret"


async def test_what_cannot_be_restored_is_told_at_once(saved, things):
    node, data, made = saved
    path = f"backups/{made['id']}/restore"
    await node.ask("POST", path, 400, json={"apps": ["app_none"]})
    await node.ask("POST", path, 400, json={"as": "Not A Name"})
    assert (await node.ask("POST", path, 409, json={"as": "blog"}))["error"] == "app_name_taken"
    await node.ask("POST", path, 400, json={"paths": ["/app_1/data"]})
    await node.ask("POST", path, 400, json={"paths": ["/app_1/data/../x"]})
    await node.ask("POST", path, 403, client=node.running.viewer, json={})
    await node.ask("POST", "backups/bak_none/restore", 404, json={})
    data.rename(data.parent / "gone")
    things.put("app_2", "shop")
    os.rename(node.folder / "targets" / "disk", node.folder / "targets" / "away")
    failed = await node.back_up(status="failed")
    refused = await node.ask("POST", f"backups/{failed['id']}/restore", 409, json={})
    assert refused["error"] == "backup_not_restorable"
    assert (await node.ask("POST", path, 409, json={}))["error"] == "repository_missing"


@pytest.mark.parametrize("phase", ["fetching", "closing", "swapping", "starting"])
async def test_a_restore_that_a_dead_host_left_is_put_back_and_done_again(saved, phase, monkeypatch):
    from cloudos_backups.restore.store import RestoreStore

    node, data, made = saved
    (data / "posts" / "one").write_text("newer")
    change = RestoreStore.change
    reached = []

    async def stop_there(self, row, *events, **values):
        await change(self, row, *events, **values)
        if values.get("phase") == phase and not reached:
            reached.append(row.id)
            await asyncio.Event().wait()  # the host ends here: nothing after it is done

    async def dead(self, row):
        return None

    from cloudos_backups.restore.app_restore import AppRestore

    undo = AppRestore.undo
    monkeypatch.setattr(RestoreStore, "change", stop_there)
    monkeypatch.setattr(AppRestore, "undo", dead)
    begun = await node.ask("POST", f"backups/{made['id']}/restore", 202, json={})
    await until(lambda: reached)
    await node.running.stop()
    monkeypatch.setattr(AppRestore, "undo", undo)
    await node.running.start()
    await until(lambda: not node.things.data.held)
    found = await node.operation(begun["operation_id"])

    async def ended():
        return not await node.running.ctx("backups").use(RestoreStore).open()

    await until(ended)
    text = (data / "posts" / "one").read_text()
    assert text == ("the first" if found["state"] == "succeeded" else "newer"), found
    assert [path.name for path in data.parent.iterdir()] == ["_data"]
    assert node.things.data.held == {}
