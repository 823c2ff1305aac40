"""Backups whose node is gone: another one takes them over with the recovery key alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


async def adopt(node, key, status=202, name="old", path="disk"):
    config = {"path": str(node.folder / "targets" / path)}
    body = {"name": name, "type": "local", "config": config, "recovery_key": key}
    return await node.ask("POST", "backups/adopt", status, json=body)


async def test_a_node_without_the_database_finds_all_backups_again_and_restores_one(node, things):
    data = things.put("app_1", "blog", "data", dumps=[("base.sql", "db", ("data",))])
    things.data.dumps["app_1", "base.sql"] = "rows of yesterday"
    other = things.put("app_2", "wiki", "pages")
    (other / "page").write_text("first")
    await node.add_target()
    first = await node.back_up(include_config=True)
    (other / "page").write_text("second " * 1000)
    things.data.apps.pop("app_1")
    await node.running.clock.advance(60)  # of two backups of one second, either may be listed first
    second = await node.back_up(apps=["app_2"])
    key, before = node.keys["disk"], await node.ask("GET", "backups")
    await node.ask("DELETE", "backup/targets/disk", 204)  # as a node that knows of nothing
    assert await node.ask("GET", "backups") == []

    begun = await adopt(node, key.lower().replace("-", " "))
    done = await node.operation(begun["operation_id"], "succeeded")
    assert done["result"] == {"target": "old", "backups": 2, "unread": []}
    listed = {found["id"]: found for found in await node.ask("GET", "backups")}
    assert set(listed) == {found["id"] for found in before} == {first["id"], second["id"]}
    after = [listed[second["id"]], listed[first["id"]]]
    assert [found["status"] for found in after] == ["completed", "completed"]
    assert [sorted(found["apps"]) for found in after] == [["app_2"], ["app_1", "app_2"]]
    assert after[1]["include_config"] and after[0]["size_bytes"] == second["size_bytes"] > 6000
    (target,) = await node.ask("GET", "backup/targets")
    assert target["recovery_key"]["confirmed"] and "hunter2" not in str(after)
    states = {found["app_id"]: found["last_backup_id"] for found in await node.ask("GET", "backups/apps")}
    assert states == {"app_1": first["id"], "app_2": second["id"]}

    shutil.rmtree(other)
    other.mkdir()
    begun = await node.ask("POST", f"backups/{first['id']}/restore", 202, json={"apps": ["app_2"]})
    await node.operation(begun["operation_id"], "succeeded")
    assert (other / "page").read_text() == "first"
    assert data.exists()
    made = await node.back_up(target="old", apps=["app_2"])
    assert made["status"] == "completed"


async def test_what_is_adopted_has_to_be_there_with_its_key(node, things):
    things.put("app_1", "blog", "data")
    await node.add_target()
    await node.add_target("second")
    there = await node.ask("GET", "backup/targets/disk")
    again = await adopt(node, node.keys["disk"])
    assert again["target_id"] == there["id"], "it is a target already"
    await node.operation(again["operation_id"], "succeeded")
    assert (await adopt(node, node.keys["second"], 400))["error"] == "recovery_key_wrong"
    await node.ask("DELETE", "backup/targets/disk", 204)
    assert (await adopt(node, node.keys["second"], 400))["error"] == "recovery_key_wrong"
    assert (await adopt(node, "no key", 400))["error"] == "recovery_key_wrong"
    assert (await adopt(node, node.keys["disk"], 409, path="nothing"))["error"] == "repository_missing"
    assert [found["name"] for found in await node.ask("GET", "backup/targets")] == ["second"]
    for client in (node.running.operator, node.running.viewer):
        await node.ask("POST", "backups/adopt", 403, client=client, json={})


async def test_a_snapshot_that_says_nothing_of_itself_hides_no_other(node, things, tmp_path):
    (things.put("app_1", "blog", "data") / "post").write_text("hello")
    await node.add_target()
    await node.back_up()
    (tmp_path / "strange").mkdir()
    node.restic("disk", "backup", "--tag", "cloudos,backup:bak_strange", str(tmp_path / "strange"))
    await node.ask("DELETE", "backup/targets/disk", 204)
    begun = await adopt(node, node.keys["disk"])
    done = await node.operation(begun["operation_id"], "succeeded")
    assert done["result"]["backups"] == 1 and len(done["result"]["unread"]) == 1


@pytest.mark.parametrize("dump", ["../../../etc/passwd", "a/b", "..", ""])
async def test_a_repository_of_somebody_else_names_no_paths_of_this_machine(node, things, dump):
    things.put("app_1", "blog", "data")
    await node.add_target()
    made = await node.back_up()
    (snapshot,) = json.loads(node.restic("disk", "snapshots", "--json"))
    staged = next(Path(path) for path in snapshot["paths"] if path.endswith("stage/app_1"))
    manifest = json.loads(node.restic("disk", "dump", snapshot["id"], f"{staged}/manifest.json"))
    manifest["part"]["dumps"] = {dump: []}
    staged.mkdir(parents=True)
    (staged / "manifest.json").write_text(json.dumps(manifest))
    node.restic("disk", "forget", snapshot["id"])
    node.restic("disk", "backup", "--tag", f"cloudos,backup:{made['id']},app:app_1", str(staged))
    await node.ask("DELETE", "backup/targets/disk", 204)
    begun = await adopt(node, node.keys["disk"])
    done = await node.operation(begun["operation_id"], "succeeded")
    assert done["result"]["backups"] == 0 and len(done["result"]["unread"]) == 1
