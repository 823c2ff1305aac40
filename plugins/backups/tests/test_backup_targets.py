"""Targets: added with a test, kept secret, changed, checked and removed."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest


async def test_a_target_is_added_as_the_reference_prints_it_and_its_secrets_are_never_shown(node, s3_server):
    config = {**s3_server.config, "encryption": True}
    made = await node.add_target("s3-primary", "s3", config)
    assert re.fullmatch(r"tgt_[a-z2-9]{13}", made["id"])
    assert (made["name"], made["type"], made["status"]) == ("s3-primary", "s3", "ok")
    assert re.fullmatch(r"(?:[A-Z2-9]{5}-){7}[A-Z2-9]{5}", made["recovery_key"])
    assert made["config"]["secret_key"] == "***"
    for shown in (await node.ask("GET", "backup/targets"), [await node.ask("GET", f"backup/targets/{made['id']}")]):
        assert s3_server.config["secret_key"] not in str(shown)
        assert made["recovery_key"] not in str(shown)
    node.things.put("app_1", "blog", "data").joinpath("post").write_text("hello")
    await node.back_up("s3-primary", apps=["app_1"])
    wrong = {**s3_server.config, "secret_key": "not it", "prefix": "other"}
    refused = await node.ask("POST", "backup/targets", 502, json={"name": "x", "type": "s3", "config": wrong})
    assert refused["error"] == "target_refused"
    assert [target["name"] for target in await node.ask("GET", "backup/targets")] == ["s3-primary"]


@pytest.mark.parametrize("server", ["sftp_server", "rest_server"])
async def test_a_target_by_sftp_or_rest_takes_a_backup(node, server, request):
    served = request.getfixturevalue(server)
    await node.add_target("away", server.split("_")[0], served.config)
    node.things.put("app_1", "blog", "data").joinpath("post").write_text("hello")
    made = await node.back_up("away")
    assert made["parts"][0]["files"] >= 1
    assert (await node.ask("GET", "backup/targets/away"))["status"] == "ok"


async def test_a_backup_is_always_encrypted(node, tmp_path):
    config = {"path": str(tmp_path / "plain"), "encryption": False}
    refused = await node.add_target("plain", "local", config, status=400)
    assert refused["error"] == "encryption_required"
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("local", {"path": "relative/path"}, "config.path"),
        ("local", {"path": "/a/../etc"}, "config.path"),
        ("local", {}, "config.path"),
        ("local", {"path": "/tmp/x", "colour": "red"}, "config.colour"),
        ("s3", {"bucket": "b"}, "config.bucket"),
        ("sftp", {"host": "-oProxyCommand=id", "username": "a", "path": "/b", "password": "c"}, "config.host"),
        ("sftp", {"host": "nas", "username": "a b", "path": "/b", "password": "c"}, "config.username"),
        ("sftp", {"host": "nas", "username": "a", "path": "/b"}, "config"),
        ("rest", {"url": "file:///etc"}, "config.url"),
        ("rest", {"url": "http://user:word@nas/"}, "config.url"),
    ],
)
async def test_a_config_that_does_not_fit_names_its_field(node, kind, config, field):
    refused = await node.add_target("bad", kind, config, status=400)
    assert field in [found["path"] for found in refused["fields"]], refused


async def test_a_folder_of_the_node_or_of_an_app_or_with_other_things_is_no_target(node, things, tmp_path):
    volume = things.put("app_1", "blog", "data")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "one").touch()
    (tmp_path / "link").symlink_to(volume)
    for path in (volume / "backups", tmp_path / "data" / "b", tmp_path / "films", tmp_path / "link" / "b"):
        refused = await node.add_target("bad", "local", {"path": str(path)}, status=400)
        assert refused["fields"][0]["path"] == "config.path", path
    assert (tmp_path / "films" / "one").exists()


async def test_two_targets_share_neither_name_nor_repository(node):
    first = await node.add_target("disk")
    assert (await node.add_target("disk", status=409))["error"] == "target_name_taken"
    same = {"path": str(node.folder / "targets" / "disk")}
    assert (await node.add_target("other", "local", same, status=409))["error"] == "repository_exists"
    assert [target["id"] for target in await node.ask("GET", "backup/targets")] == [first["id"]]


async def test_a_target_is_changed_but_its_backups_do_not_move(node, rest_server):
    made = await node.add_target("rest", "rest", rest_server.config)
    moved = {"config": {"url": "http://127.0.0.1:1/elsewhere"}}
    assert (await node.ask("PUT", f"backup/targets/{made['id']}", 409, json=moved))["error"] == "target_elsewhere"
    wrong = await node.ask("PUT", f"backup/targets/{made['id']}", 502, json={"config": {"password": "wrong"}})
    assert wrong["error"] == "target_refused"
    changed = await node.ask("PUT", f"backup/targets/{made['id']}", json={"name": "nas"})
    assert changed["name"] == "nas"
    node.things.put("app_1", "blog", "data")
    await node.back_up("nas")
    (event,) = await node.events("backup.target_changed")
    assert event.data["changed"] == ["name"]


async def test_a_target_that_is_removed_leaves_its_data_unless_they_are_purged(node):
    path = node.folder / "targets"
    await node.add_target("disk")
    await node.add_target("other")
    node.things.put("app_1", "blog", "data")
    await node.back_up("disk")
    await node.back_up("other")
    await node.ask("DELETE", "backup/targets/disk", 204)
    assert (path / "disk" / "config").exists()
    await node.ask("DELETE", "backup/targets/other?purge=true", 204)
    assert not (path / "other").exists()
    assert await node.ask("GET", "backup/targets") == []
    assert await node.ask("GET", "backups") == []
    await node.ask("GET", "backup/targets/disk", 404)


async def test_the_recovery_key_is_asked_back_a_week_later_until_it_was_typed_right(node):
    made = await node.add_target("disk")

    async def key():
        return (await node.ask("GET", "backup/targets/disk"))["recovery_key"]

    assert (await key())["due"] is False
    await node.running.clock.advance(timedelta(days=7, minutes=1).total_seconds())
    assert await key() == {**await key(), "due": True, "confirmed": False}
    typed = {"recovery_key": "AAAAA" + made["recovery_key"][5:]}
    path = f"backup/targets/{made['id']}/recovery-key"
    assert (await node.ask("POST", path, 400, json=typed))["error"] == "recovery_key_wrong"
    assert (await node.ask("POST", path, 400, json={"recovery_key": "short"}))["error"] == "recovery_key_wrong"
    typed = {"recovery_key": made["recovery_key"].lower().replace("-", " ")}
    assert (await node.ask("POST", path, json=typed))["recovery_key"]["confirmed"] is True
    assert (await key())["due"] is False


async def test_an_operator_and_a_viewer_make_no_targets(node):
    body = {"name": "x", "type": "local", "config": {"path": "/etc"}}
    for client in (node.running.operator, node.running.viewer):
        await node.ask("POST", "backup/targets", 403, client=client, json=body)
    await node.add_target("disk")
    await node.ask("POST", "backups", 403, client=node.running.viewer, json={"target": "disk"})
    for client in (node.running.operator, node.running.viewer):
        await node.ask("DELETE", "backup/targets/disk?purge=true", 403, client=client)


async def test_a_check_finds_damage_and_says_so_until_a_check_finds_none(node):
    await node.add_target("disk")
    data = node.things.put("app_1", "blog", "data")
    (data / "film").write_bytes(bytes(range(256)) * 4000)
    await node.back_up()
    begun = await node.ask("POST", "backup/targets/disk/check", 202)
    result = (await node.operation(begun["operation_id"], "succeeded"))["result"]
    assert result["size_bytes"] > 0
    packs = [path for path in (node.folder / "targets" / "disk" / "data").rglob("*") if path.is_file()]
    for pack in packs:
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    failed = await node.operation((await node.ask("POST", "backup/targets/disk/check", 202))["operation_id"])
    assert failed["error"]["error"] == "repository_damaged", failed
    assert (await node.ask("GET", "backup/targets/disk"))["status"] == "damaged"
    assert [event.data["target"] for event in await node.events("backup.target_damaged")] == ["disk"]


async def test_a_target_that_a_dead_host_left_half_made_is_taken_away_and_no_other(node, tmp_path):
    from cloudos_backups.targets.kinds import read_config
    from cloudos_backups.targets.recovery_key import new_key
    from cloudos_backups.targets.service import Targets
    from cloudos_backups.targets.store import TargetStore

    await node.add_target("disk")
    ctx = node.running.ctx("backups")
    service, store = ctx.use(Targets), ctx.use(TargetStore)
    taken = read_config("local", {"path": str(node.folder / "targets" / "disk")})
    await service._begin("again", "local", taken, new_key(), "new")
    config = read_config("local", {"path": str(tmp_path / "half")})
    half = await service._begin("half", "local", config, new_key(), "new")
    await service._restic.init(await store.repository(half))
    assert (tmp_path / "half" / "config").exists()
    await node.running.restart()
    assert [target["name"] for target in await node.ask("GET", "backup/targets")] == ["disk"]
    assert not (tmp_path / "half").exists()
    assert (node.folder / "targets" / "disk" / "config").exists()
