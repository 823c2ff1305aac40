"""Backups: what is in one, what is missing, and that an app is held no longer than it must be."""

from __future__ import annotations

import asyncio
import os
import re

import pytest
from backup_node import start, until


async def test_a_backup_is_begun_as_the_reference_prints_it_and_holds_the_apps_volumes(node, things):
    blog = things.put("app_abc123", "blog", "data", "media")
    (blog / "post").write_text("hello")
    things.put("app_def456", "shop", "data", hold="stop")
    await node.add_target("s3-primary")
    body = {"target": "s3-primary", "apps": ["app_abc123", "app_def456"], "include_config": True}
    begun = await node.ask("POST", "backups", 201, json=body)
    assert re.fullmatch(r"bak_[a-z2-9]{13}", begun["id"])
    shown = {name: begun[name] for name in ("status", "target", "apps", "include_config", "started_at")}
    assert shown == {**body, "status": "in_progress", "started_at": "2026-01-01T00:00:00Z"}
    made = await node.ended(begun["id"])
    assert [part["name"] for part in made["parts"]] == ["blog", "shop", "the node"]
    assert things.data.holds == [("app_abc123", "pause"), ("app_def456", "stop")]
    assert things.data.held == {}
    operation = await node.operation(made["operation_id"], "succeeded")
    assert operation["resource"] == made["id"]
    (created,) = await node.events("backup.created")
    assert created.details == "Manual backup to s3-primary"
    (completed,) = await node.events("backup.completed")
    assert completed.data["target"] == "s3-primary"
    listing = node.restic("s3-primary", "ls", "latest", "--tag", "app:app_abc123")
    assert str(blog / "post") in listing
    assert "hunter2" not in node.restic(
        "s3-primary",
        "dump",
        "latest",
        "--tag",
        "app:app_abc123",
        f"{node.folder}/data/backups/stage/app_abc123/app.sealed",
    )


async def test_the_second_backup_stores_what_has_changed_alone(node, things):
    data = things.put("app_1", "blog", "data")
    (data / "film").write_bytes(os.urandom(3_000_000))
    await node.add_target()
    first = await node.back_up()
    await node.running.clock.advance(60)
    (data / "post").write_text("new")
    second = await node.back_up()
    assert first["added_bytes"] > 3_000_000 > 100_000 > second["added_bytes"]
    assert second["size_bytes"] > 3_000_000
    assert [found["id"] for found in await node.ask("GET", "backups")] == [second["id"], first["id"]]
    assert await node.ask("GET", f"backups?before={second['id']}") == [first]
    assert [found["id"] for found in await node.ask("GET", f"backups?after={first['id']}")] == [second["id"]]
    assert await node.ask("GET", "backups?app=app_none") == []


async def test_a_backup_that_misses_a_part_is_partial_and_says_what(node, things, tmp_path):
    things.put("app_1", "blog", "data")
    gone = things.put("app_2", "shop", "data")
    gone.rmdir()
    await node.add_target()
    made = await node.back_up(status="partial")
    parts = {part["name"]: part for part in made["parts"]}
    assert (parts["blog"]["status"], parts["shop"]["status"]) == ("completed", "partial")
    assert "data" in parts["shop"]["missing"][0] and "not there" in parts["shop"]["missing"][0]
    (failed,) = await node.events("backup.failed")
    assert failed.data["status"] == "partial" and "shop" in failed.data["missing"][0]
    known = {app["name"]: app["last_backup"] for app in await node.ask("GET", "backups/apps")}
    assert known["blog"] is not None and known["shop"] is None


async def test_a_dump_stands_for_its_volume_and_where_it_fails_the_files_do(node, things):
    data = things.put("app_1", "db", "data", dumps=[("all.sql", "database", ("data",))])
    (data / "table").write_text("half written")
    await node.add_target()
    made = await node.back_up()
    assert things.data.holds == [], "an app whose data are all dumped is not held"
    listing = node.restic("disk", "ls", "latest")
    assert "dumps/all.sql" in listing and str(data / "table") not in listing
    things.put("app_1", "db", "data", running=False, dumps=[("all.sql", "database", ("data",))])
    await node.back_up()
    assert str(data / "table") in node.restic("disk", "ls", "latest"), "one that is stopped is read as it is"
    assert made["status"] == "completed"

    async def fails(app_id, name, path):
        from cloudos_sdk import Conflict

        raise Conflict("dump_failed", "no memory left")

    things.put("app_1", "db", "data", dumps=[("all.sql", "database", ("data",))])
    things.data.dump = fails
    made = await node.back_up(status="partial")
    assert "no memory left" in made["parts"][0]["missing"][0]
    assert things.data.holds == [("app_1", "pause")]
    assert str(data / "table") in node.restic("disk", "ls", "latest")


async def test_unknown_apps_and_targets_are_told_and_nothing_is_begun(node, things):
    await node.ask("POST", "backups", 400, json={"target": "none"})
    assert "POST /api/backup/targets" in (await node.ask("POST", "backups", 400, json={}))["message"]
    await node.add_target()
    refused = await node.ask("POST", "backups", 400, json={"apps": ["app_none"]})
    assert refused["fields"][0]["path"] == "apps"
    await node.ask("POST", "backups", 400, json={"include_config": False})
    await node.ask("GET", "backups/bak_none", 404)
    assert await node.ask("GET", "backups") == []
    things.put("app_1", "blog", "data")
    assert (await node.back_up(target="disk", apps=None))["apps"] == ["app_1"]


async def test_two_backups_to_one_target_follow_each_other(node, things):
    data = things.put("app_1", "blog", "data")
    (data / "film").write_bytes(os.urandom(8_000_000))
    await node.add_target()
    body = {"target": "disk", "include_config": False}
    first = await node.ask("POST", "backups", 201, json=body)

    async def begun():
        return (await node.ask("GET", f"backups/{first['id']}"))["parts"][0]["status"] != "waiting" or things.data.holds

    await until(begun)
    second = await node.ask("POST", "backups", 201, json=body)
    assert second["status"] == "queued"
    await node.ended(first["id"])
    await node.ended(second["id"])
    assert things.data.held == {}


async def test_a_backup_that_is_cancelled_lets_the_app_go_and_leaves_no_lock(node, things):
    data = things.put("app_1", "blog", "data")
    (data / "film").write_bytes(os.urandom(60_000_000))
    await node.add_target()
    begun = await node.ask("POST", "backups", 201, json={"target": "disk", "include_config": False})
    await until(lambda: things.data.held)
    await node.ask("POST", f"operations/{begun['operation_id']}/cancel", 202)
    made = await node.ended(begun["id"], "cancelled")
    assert made["error"] == "It was cancelled."
    assert things.data.held == {}
    assert node.restic("disk", "--no-lock", "list", "locks").strip() == ""
    await node.back_up()


async def test_a_restic_that_is_killed_is_tried_again_and_its_lock_taken_away(cloudos, things, tmp_path, restic):
    """The first run is killed by a program in restic's place, which then becomes restic."""
    fake = tmp_path / "restic"
    mark = tmp_path / "killed"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *backup*) if [ ! -e {mark} ]; then touch {mark};'
        f' {restic} "$@" & sleep 0.3; kill -9 $!; kill -9 $$; fi;; esac\nexec {restic} "$@"\n'
    )
    fake.chmod(0o755)
    node = await start(cloudos, things, tmp_path, tries=3, restic_program=str(fake))
    data = things.put("app_1", "blog", "data")
    (data / "film").write_bytes(os.urandom(60_000_000))
    await node.add_target()
    await node.back_up()
    assert mark.exists()
    assert things.data.held == {}
    assert "no errors were found" in node.restic("disk", "check")


async def test_a_target_that_goes_away_fails_the_backup_and_the_next_one_succeeds(node, things, rest_server):
    things.put("app_1", "blog", "data").joinpath("post").write_text("hello")
    await node.add_target("rest", "rest", rest_server.config)
    good = await node.back_up("rest")
    rest_server.stop()
    made = await node.back_up("rest", status="failed")
    assert "reached" in made["error"], made
    shown = await node.ask("GET", "backup/targets/rest")
    assert (shown["status"], "reached" in shown["error"]) == ("failing", True)
    assert "p@ss" not in str(shown) + str(made)
    rest_server.start()
    await node.back_up("rest")
    assert (await node.ask("GET", "backup/targets/rest"))["status"] == "ok"
    assert await node.ask("GET", f"backups/{good['id']}/files?path=/app_1/data")


async def test_a_full_disk_at_the_target_fails_the_backup_and_harms_no_other(node, things, small_disk):
    from components.small_disk import fill

    disk = small_disk("24m")
    data = things.put("app_1", "blog", "data")
    (data / "post").write_text("hello")
    await node.add_target("small", "local", {"path": str(disk / "repository")})
    good = await node.back_up("small")
    films = fill(disk)
    (data / "film").write_bytes(os.urandom(4_000_000))
    made = await node.back_up("small", status="failed")
    assert "no room" in made["error"], made
    films.unlink()
    await node.back_up("small")
    assert (await node.ask("GET", f"backups/{good['id']}/files?path=/app_1/data"))[0]["name"] == "post"
    begun = await node.ask("POST", "backup/targets/small/check", 202)
    await node.operation(begun["operation_id"], "succeeded")


@pytest.mark.parametrize("database", ["sqlite"])
async def test_the_nodes_part_has_its_database_its_sealed_key_and_its_files(node, things, database):
    await node.add_target()
    made = await node.back_up(include_config=True)
    data = node.folder / "data"
    listing = node.restic("disk", "ls", "latest", "--tag", "config").splitlines()
    own = f"{data}/backups/node"
    assert f"{own}/host.key.sealed" in listing and f"{data}/node.json" in listing
    assert any(line.startswith(f"{own}/database/") for line in listing)
    assert not {f"{data}/host.key", f"{data}/cloudos.db"} & set(listing), "keys and the live database are not copied"
    assert not [line for line in listing if "/backups/cache" in line or "/backups/targets" in line]
    shown = await node.ask("GET", f"backups/{made['id']}/files?path=/config/own")
    assert {"database", "host.key.sealed"} <= {found["name"] for found in shown}
    for client in (node.running.operator, node.running.viewer):
        await node.ask("GET", f"backups/{made['id']}/files?path=/config/own", 403, client=client)


async def test_the_rows_of_a_backup_are_removed_with_its_snapshots(node, things):
    things.put("app_1", "blog", "data")
    await node.add_target()
    first, second = await node.back_up(), await node.back_up()
    await node.ask("DELETE", f"backups/{first['id']}", 403, client=node.running.operator)
    await node.ask("DELETE", f"backups/{first['id']}", 204)
    assert [found["id"] for found in await node.ask("GET", "backups")] == [second["id"]]
    assert node.restic("disk", "snapshots", "--json").count('"short_id"') == 1
    pruned = await node.ask("POST", "backup/targets/disk/prune", 202)
    assert (await node.operation(pruned["operation_id"], "succeeded"))["result"]["size_bytes"] > 0
    await asyncio.sleep(0)
