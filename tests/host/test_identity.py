"""Folder, key and database belong together; what does not is refused with what to put back, by the doctor too."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from boot_plugins import notes_plugin

from cloudos_host.cli.doctor import diagnose
from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.node import HostError
from cloudos_host.plugins.discovery import given


def made(folder):
    return Config(HostSettings(data_dir=folder, required=()), {}, "the test")


async def serve_once(folder):
    host = Host(made(folder), found=[given("jotter", notes_plugin())])
    try:
        await host.boot()
    finally:
        await host.shutdown()


def no_key(folder):
    (folder / "host.key").unlink()


def short_key(folder):
    (folder / "host.key").write_bytes(b"short")


def empty_key(folder):
    (folder / "host.key").write_bytes(b"")


def foreign_key(folder):
    (folder / "host.key").write_bytes(os.urandom(32))


def no_database(folder):
    for file in folder.glob("cloudos.db*"):
        file.unlink()


def empty_database(folder):
    no_database(folder)
    (folder / "cloudos.db").touch()


def foreign_database(folder):
    no_database(folder)
    shutil.copy(folder.parent / "other" / "cloudos.db", folder / "cloudos.db")


def forgotten(break_it):
    """As by an earlier version: neither folder nor database notes the other."""

    def broken(folder):
        (folder / "node.json").unlink()
        with closing(sqlite3.connect(folder / "cloudos.db", isolation_level=None)) as connection:
            connection.execute("DELETE FROM host_node")
        break_it(folder)

    return broken


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (no_key, r"host\.key is missing"),
        (short_key, r"host\.key has 5 bytes and not 32"),
        (empty_key, r"host\.key has 0 bytes and not 32"),
        (foreign_key, r"host\.key is not the key of the node node_"),
        (no_database, r"database .*cloudos\.db is empty.*`cloudos db move`"),
        (empty_database, r"database .*cloudos\.db is empty"),
        (foreign_database, r"database .* is of the node node_.* put back"),
        (forgotten(no_key), r"host\.key is missing"),
        (forgotten(no_database), r"database .*cloudos\.db is empty"),
    ],
)
async def test_what_does_not_belong_together_is_refused_with_what_to_put_back(tmp_path, break_it, said):
    folder, other = tmp_path / "data", tmp_path / "other"
    await serve_once(folder)
    await serve_once(other)
    break_it(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "lock"}
    with pytest.raises(HostError, match=said):
        await serve_once(folder)
    findings = await diagnose(made(folder))
    [finding] = [finding for finding in findings if finding.subject == "node"]
    assert not finding.ok
    with pytest.raises(HostError) as refused:
        await serve_once(folder)
    assert finding.detail == str(refused.value)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "lock"}
    assert before.keys() == after.keys() and before.get("host.key") == after.get("host.key"), "nothing was made anew"


async def test_key_and_database_in_a_fresh_folder_are_the_node(tmp_path):
    await serve_once(tmp_path / "data")
    (tmp_path / "moved").mkdir()
    for name in ("host.key", "cloudos.db"):
        shutil.copy(tmp_path / "data" / name, tmp_path / "moved" / name)
    await serve_once(tmp_path / "moved")
    assert (tmp_path / "moved" / "node.json").read_text() == (tmp_path / "data" / "node.json").read_text()


async def test_a_node_of_an_earlier_version_is_taken_as_it_is(tmp_path):
    await serve_once(tmp_path / "data")
    forgotten(lambda folder: None)(tmp_path / "data")
    await serve_once(tmp_path / "data")
    assert (tmp_path / "data" / "node.json").exists()


async def test_a_first_start_that_was_killed_after_the_key_goes_on(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "host.key").write_bytes(os.urandom(32))
    await serve_once(tmp_path / "data")
    findings = await diagnose(made(tmp_path / "data"))
    assert "node" not in [finding.subject for finding in findings]


async def test_an_empty_folder_is_a_note_and_one_that_does_not_exist_a_failure(tmp_path):
    [empty] = [finding for finding in await diagnose(made(tmp_path)) if finding.subject == "data folder"]
    assert (empty.ok, empty.optional) == (False, True)
    [none] = [finding for finding in await diagnose(made(tmp_path / "none")) if finding.subject == "data folder"]
    assert (none.ok, none.optional) == (False, False)
    assert "does not exist" in none.detail and "--data-dir" in none.remedy
    assert not (tmp_path / "none").exists()
