"""`cloudos db move`: the whole node in another database, or nothing in it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cloudos_sdk.testing.fixtures import FakeClock, RunningHost
from sqlalchemy import create_engine, inspect, make_url, text

from cloudos_host.cli import database_move
from cloudos_host.config import Config, HostSettings
from cloudos_host.data.database_lock import DatabaseLock
from cloudos_host.host import Host
from cloudos_host.node import HostError
from cloudos_host.plugins.discovery import discover

CLOUDOS = Path(sys.executable).with_name("cloudos")
SERVER = os.environ.get("CLOUDOS_HOST__DATABASE_URL")
ACCOUNT = {"username": "admin", "password": "a long password"}
SETTINGS = {"auth": {"bcrypt_cost": 4}}
PLUGINS = ("auth", "audit", "notes", "alerts", "dashboard", "webhooks")
JOBS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
    " INSERT INTO host_job_run (plugin, job, started_at, outcome) SELECT 'x', 'y', '2026-01-01 00:00:00', 'z' FROM n"
)


@pytest.fixture
def empty(tmp_path):
    """Make empty databases: of the server of the tests where there is one, else SQLite."""
    made = []

    def make():
        name = f"cloudos_test_{secrets.token_hex(6)}"
        if SERVER is None:
            return f"sqlite:///{tmp_path / name}.db"
        execute(SERVER, f"CREATE DATABASE {name}")
        made.append(name)
        return make_url(SERVER).set(database=name).render_as_string(hide_password=False)

    yield make
    for name in made:
        execute(SERVER, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url, statement):
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        rows = result.all() if result.returns_rows else []
    engine.dispose()
    return rows


def tables(url):
    engine = create_engine(url)
    names = inspect(engine).get_table_names()
    engine.dispose()
    return names


def settings(folder, url=None, **more):
    host = HostSettings(data_dir=folder, required=(), database_url=url, **more)
    return Config(host, SETTINGS, "the test")


def node(folder, url=None):
    found = [found for found in discover() if found.id in PLUGINS]
    clock = FakeClock()
    return RunningHost(lambda: Host(settings(folder, url), found=found, clock=clock), clock, url)


async def move(config, to):
    said = []
    return await asyncio.to_thread(database_move.move, config, to, said.append), said


def cloudos(*arguments, url=None):
    environment = {name: value for name, value in os.environ.items() if name != "CLOUDOS_HOST__DATABASE_URL"}
    environment |= {"CLOUDOS_HOST__DATABASE_URL": url} if url else {}
    return [CLOUDOS, *map(str, arguments)], environment


async def run(*arguments, url=None):
    command, environment = cloudos(*arguments, url=url)
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def kill_in_the_middle(folder, url):
    """Begin a move, and kill it while it copies rows."""
    command, environment = cloudos("db", "move", "--to", url, "--data-dir", folder)
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "host_job_run: 50000 of 60000 rows" in line:
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    process.stderr.close()


async def begun(folder):
    """Make a node with an account and a note; return the bearer of its session."""
    host = node(folder)
    await host.start()
    await host.anonymous.post("/api/auth/setup", json=ACCOUNT)
    tokens = await (await host.anonymous.post("/api/auth/login", json=ACCOUNT)).get_json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    for number in range(3):
        note = {"title": f"Note {number}", "content": "getUserName sees a zebra #animal, see [[Note 0]]"}
        assert (await host.anonymous.post("/api/notes", json=note, headers=bearer)).status_code == 201
    gone = await (await host.anonymous.post("/api/notes", json={"title": "Gone"}, headers=bearer)).get_json()
    await host.anonymous.delete(f"/api/notes/{gone['id']}", headers=bearer)
    await host.stop()
    return bearer


async def seen(folder, url, bearer):
    """Start the node on a database, look at it with the session of before, and write a note."""
    host = node(folder, url)
    await host.start()
    try:
        assert [host.state(id) for id in PLUGINS] == ["running"] * len(PLUGINS)
        async with asyncio.timeout(20):
            while execute(url, "SELECT 1 FROM notes_note WHERE search IS NULL"):
                await asyncio.sleep(0.01)
        for words in ("zebra", "user name"):
            answer = await host.anonymous.get(f"/api/notes?q={words}", headers=bearer)
            found = await answer.get_json()
            assert {note["title"] for note in found} >= {"Note 0", "Note 1", "Note 2"}, (words, found)
        written = {"title": f"Written {secrets.token_hex(3)}", "content": "[[Note 1]]"}
        assert (await host.anonymous.post("/api/notes", json=written, headers=bearer)).status_code == 201
        assert (await host.anonymous.post("/api/auth/setup", json=ACCOUNT)).status_code == 409
    finally:
        await host.stop()
    code, out, err = await run("audit", "verify", "--data-dir", folder, url=url)
    assert code == 0, err
    assert "The audit log verifies" in out


async def test_a_node_moves_to_another_database_and_on_and_is_the_same(tmp_path, empty):
    folder = tmp_path / "data"
    bearer = await begun(folder)
    before = (folder / "cloudos.db").read_bytes()

    there, back = empty(), f"sqlite:///{tmp_path / 'back.db'}"
    last, said = await move(settings(folder, disabled=("notes",)), there)
    assert "set host.database_url" in last
    assert any(line.startswith("notes_note: 4 rows, checksum ") for line in said)
    assert (folder / "cloudos.db").read_bytes() == before
    await seen(folder, there, bearer)

    last, _ = await move(settings(folder, there), back)
    await seen(folder, back, bearer)
    assert {str(row) for row in execute(there, "SELECT * FROM host_node")} == {
        str(row) for row in execute(back, "SELECT * FROM host_node")
    }

    (folder / "cloudos.db").rename(tmp_path / "old.db")
    last, _ = await move(settings(folder, back), f"sqlite:///{folder / 'cloudos.db'}")
    assert "take host.database_url out" in last
    await seen(folder, f"sqlite:///{folder / 'cloudos.db'}", bearer)


async def test_numbers_go_on_where_the_source_was(tmp_path, empty):
    folder = tmp_path / "data"
    await begun(folder)
    first, second = empty(), empty()
    await move(settings(folder), first)
    execute(first, "INSERT INTO host_job_run (plugin, job, started_at, outcome) VALUES ('x', 'y', '2026-01-01', 'z')")
    execute(first, "DELETE FROM host_job_run")
    await move(settings(folder, first), second)
    execute(second, "INSERT INTO host_job_run (plugin, job, started_at, outcome) VALUES ('x', 'y', '2026-01-01', 'z')")
    if SERVER is not None:
        assert execute(second, "SELECT id FROM host_job_run") == [(2,)]


async def test_what_cannot_be_moved_is_refused_and_says_why(tmp_path, empty):
    folder = tmp_path / "data"
    with pytest.raises(HostError, match="holds no node"):
        await move(settings(folder), empty())
    assert not folder.exists()
    await begun(folder)

    with pytest.raises(HostError, match="is no URL of a database"):
        await move(settings(folder), "/srv/cloudos.db")
    with pytest.raises(HostError, match="is no database of a node"):
        await move(settings(folder), "mysql://root@localhost/cloudos")
    with pytest.raises(HostError, match=r"/none/x\.db.*; nothing was moved"):
        await move(settings(folder), f"sqlite:///{tmp_path}/none/x.db")
    with pytest.raises(HostError, match=r"postgres:\*\*\*@127\.0\.0\.1:1/.*nothing was moved"):
        await move(settings(folder), "postgresql+psycopg://postgres:hidden@127.0.0.1:1/cloudos")

    url = empty()
    execute(url, "CREATE TABLE mine (id integer)")
    with pytest.raises(HostError, match=r"is not empty \(it has the table mine\); name an empty one"):
        await move(settings(folder), url)
    assert tables(url) == ["mine"]

    url = empty()
    lock = DatabaseLock(url, None)
    assert lock.take()
    with pytest.raises(HostError, match=r"another host .* uses the database"):
        await move(settings(folder), url)
    lock.release()

    host = node(folder)
    await host.start()
    with pytest.raises(HostError, match=f"another host uses {folder}; stop it first"):
        await move(settings(folder), url)
    await host.stop()
    assert tables(url) == []


async def test_a_row_that_is_read_back_otherwise_moves_nothing(tmp_path, empty, monkeypatch):
    folder = tmp_path / "data"
    await begun(folder)
    url = empty()
    with monkeypatch.context() as patched:
        patched.setattr(
            database_move, "_with_nulls", lambda row, names: row | ({"title": "?"} if "title_key" in row else {})
        )
        with pytest.raises(HostError, match=r"the rows of notes_note are not read back .*; nothing was moved"):
            await move(settings(folder), url)
    assert tables(url) == []
    await move(settings(folder), url)


async def test_a_move_that_is_killed_leaves_the_target_empty_and_a_start_refuses_it(tmp_path, empty):
    folder, url = tmp_path / "data", empty()
    await begun(folder)
    engine = create_engine(f"sqlite:///{folder / 'cloudos.db'}")
    with engine.begin() as connection:
        connection.execute(JOBS)
    engine.dispose()
    await asyncio.to_thread(kill_in_the_middle, folder, url)
    assert tables(url) == []
    code, _, err = await run("db", "status", "--data-dir", folder, url=url)
    assert code == 1
    assert "is empty, but" in err and "`cloudos db move`" in err


async def test_tables_of_a_plugin_that_is_not_installed_are_named(tmp_path, empty):
    folder = tmp_path / "data"
    await begun(folder)
    execute(f"sqlite:///{folder / 'cloudos.db'}", "CREATE TABLE vpn_peer (id integer)")
    _, said = await move(settings(folder), empty())
    assert "vpn_peer stays behind: it is of no plugin that is installed" in said
