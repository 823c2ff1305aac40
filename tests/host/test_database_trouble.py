"""A database that is full or away is a 503 that says so, in every answer, in readiness and at the start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
from boot_plugins import notes_plugin
from cloudos_sdk import DatabaseUnavailable
from components.small_disk import fill
from sqlalchemy.exc import DBAPIError

from cloudos_host.cli.doctor import diagnose
from cloudos_host.config import Config, HostSettings
from cloudos_host.data.database import Database
from cloudos_host.data.database_failure import refusal
from cloudos_host.host import Host
from cloudos_host.node import HostError

CLOUDOS = Path(sys.executable).with_name("cloudos")


def pragma(host, text):
    """Set it on each connection that writes; there are two."""
    engine = host.host.db.write_engine
    raw = [engine.raw_connection(), engine.raw_connection()]
    for connection in raw:
        connection.driver_connection.execute(f"PRAGMA {text}")
    for connection in raw:
        connection.close()


async def body(answer):
    return answer.status_code, await answer.get_json()


@pytest.mark.parametrize(
    ("break_it", "mend_it", "code"),
    [
        ("max_page_count=1", "max_page_count=1000000", "database_full"),
        ("query_only=1", "query_only=0", "database_read_only"),
    ],
)
async def test_a_write_that_cannot_be_is_503_and_so_is_readiness_until_it_can(
    cloudos, monkeypatch, break_it, mend_it, code
):
    for wait in (
        "_EVERY",
        "_SOON",
    ):  # the node asks when the test does: a small write may fit where a large one does not
        monkeypatch.setattr(f"cloudos_host.plugins.health.{wait}", 3600)
    host = await cloudos(notes_plugin(), database_url=None)
    pragma(host, break_it)
    status, said = await body(await host.client.post("/api/jotter", json={"text": "x" * 100_000}))
    assert (status, said["error"]) == (503, code)
    assert "database" in said["message"] and "request_id" not in said

    status, said = await body(await host.anonymous.get("/api/ready"))
    assert (status, said["ready"], said["not_ready"]) == (503, False, ["database"])
    assert (await body(await host.anonymous.get("/api/health")))[1] == {"status": "ok", "database": code}
    pragma(host, mend_it)
    await host.host.health.check()
    assert (await host.anonymous.get("/api/ready")).status_code == 200
    assert (await host.client.post("/api/jotter", json={"text": "x" * 100_000})).status_code == 201


async def test_a_plugin_that_wraps_the_error_of_the_database_answers_503_too(cloudos):
    host = await cloudos(notes_plugin())

    async def wrapped(*_):
        try:
            raise DatabaseUnavailable("The disk is full; free space.", code="database_full")
        except DatabaseUnavailable as error:
            raise RuntimeError("could not jot") from error

    host.host.app.view_functions["jotter:jotter.crash"] = wrapped
    assert (await body(await host.client.get("/api/jotter/crash")))[0] == 503


async def test_a_server_that_refuses_the_connection_is_named():
    db = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    for work in (db.read, db.write):
        with pytest.raises(DatabaseUnavailable) as raised:
            await work(lambda session: session.connection())
        assert raised.value.code == "database_unavailable"
        assert "host.database_url" in raised.value.message
    await db.close()


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", "database_full"),
        ("53300", "database_busy"),
        ("40P01", "database_busy"),
        ("55P03", "database_busy"),
        ("25006", "database_read_only"),
        ("58030", "database_broken"),
        ("XX001", "database_broken"),
        ("57P01", "database_unavailable"),
        ("08006", "database_unavailable"),
        ("28P01", "database_unavailable"),
        ("42P01", None),
        ("23505", None),
    ],
)
def test_what_a_server_says_of_its_own_state_is_told_apart_from_our_mistakes(state, code):
    found = refusal(DBAPIError("SELECT 1", {}, psycopg.errors.lookup(state)("no")))
    assert (found.code if found is not None else None) == code


async def test_a_start_without_its_database_says_so_and_hides_nothing(tmp_path):
    url = "postgresql+psycopg://nobody:hidden@127.0.0.1:1/none"
    host = Host(Config(HostSettings(data_dir=tmp_path, required=(), database_url=url)), found=[])
    with pytest.raises(HostError, match="cannot be reached") as raised:
        await host.boot()
    assert "127.0.0.1:1" in str(raised.value) and "hidden" not in str(raised.value)
    await host.shutdown()


async def test_a_start_that_fails_early_is_followed_by_a_stop(tmp_path):
    (tmp_path / "host.key").mkdir()  # whatever it is, it can be no key
    host = Host(Config(HostSettings(data_dir=tmp_path, required=())), found=[])
    with pytest.raises(HostError, match=r"host\.key"):
        await host.boot()
    await host.shutdown()
    (tmp_path / "host.key").rmdir()
    host = Host(Config(HostSettings(data_dir=tmp_path, required=())), found=[])
    await host.boot()
    await host.shutdown()


@pytest.mark.parametrize(
    "garbled", ["", "{", "[]", '{"deaths": 3, "prefixes": {"jotter": 4}, "versions": [1]}', "\x00\xff"]
)
async def test_a_garbled_note_of_the_last_start_costs_nothing_but_itself(cloudos, tmp_path, garbled):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "boot.json").write_text(garbled, encoding="latin1")
    host = await cloudos(notes_plugin())
    assert (await host.client.post("/api/jotter", json={"text": "x"})).status_code == 201
    assert json.loads((tmp_path / "data" / "boot.json").read_text())["versions"]["jotter"]


def serve(data, **environment):
    command = [CLOUDOS, "serve", "--port", "0", "--data-dir", data]
    own = {name: value for name, value in os.environ.items() if name != "CLOUDOS_HOST__DATABASE_URL"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**own, **environment})


def address_of(process):
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "serving on" in line:
            return line.split()[-1], "".join(lines)
    raise AssertionError("".join(lines))


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def test_a_node_starts_on_a_full_disk_and_says_what_is_full(small_disk):
    data = small_disk("40m") / "data"
    environment = {"CLOUDOS_HOST__DISABLED": '["apps", "proxy", "memory", "alerts"]'}
    process = serve(data, **environment)
    try:
        address_of(process)
        while not (data / "reserve").exists():
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    films = fill(data.parent)
    process = serve(data, **environment)
    try:
        address, said = address_of(process)
        assert "disk of the data folder is full" in said and str(data) in said
        assert get(f"{address}/api/health")[0] == 200
        fill(data.parent)
        account = json.dumps({"username": "admin", "password": "a long password " + "x" * 20}).encode()
        request = urllib.request.Request(f"{address}/api/auth/setup", account, {"Content-Type": "application/json"})
        for _ in range(50):
            status, _ = get(request)
            if status == 503:
                break
        films.unlink()
        assert get(request)[0] in (201, 409)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


async def test_a_first_start_on_a_full_disk_is_one_line_that_names_it(small_disk):
    disk = small_disk("512k")
    fill(disk)
    found = await diagnose(Config(HostSettings(data_dir=disk, required=())))
    assert ["nearly full" in finding.detail for finding in found if finding.subject == "disk"] == [True]
    process = serve(disk / "data")
    assert process.wait(30) == 1
    said = process.stderr.read()
    assert "full" in said and str(disk) in said and "Traceback" not in said
