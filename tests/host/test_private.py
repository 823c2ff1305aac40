"""What a node keeps is for the node alone, also in a folder that was there before with wider modes."""

import asyncio
import os
import subprocess
import sys

import pytest
from boot_plugins import notes_plugin

from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.plugins.discovery import given


def wide(folder):
    """Return what below a folder others may look at."""
    return {
        str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.stat().st_mode & 0o077
    }


@pytest.fixture
def open_handed():
    """Make files as most systems do."""
    before = os.umask(0o022)
    yield
    os.umask(before)


async def run(folder):
    host = Host(Config(HostSettings(data_dir=folder, required=())), found=[given("jotter", notes_plugin())])
    await host.boot()
    await host.health.check()
    assert next(r for r in host.records if r.id == "jotter").context.data_dir.is_dir()
    return host


async def test_a_folder_that_was_there_is_narrowed(tmp_path, open_handed):
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    host = await run(data)
    try:
        assert (data / "cloudos.db-wal").exists() and (data / "health.json").exists() and (data / "jotter").exists()
        assert data.stat().st_mode & 0o777 == 0o700
        assert wide(data) == {}
    finally:
        await host.shutdown()


async def test_the_folder_of_an_earlier_version_is_narrowed_with_what_is_in_it(tmp_path, open_handed):
    data = tmp_path / "data"
    await (await run(data)).shutdown()
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    host = await run(data)
    try:
        assert data.stat().st_mode & 0o777 == 0o700
        assert wide(data) == {}
    finally:
        await host.shutdown()


async def test_a_folder_of_others_stays_as_it_is_and_our_files_are_ours(tmp_path, open_handed):
    (tmp_path / "of another").write_text("x")
    tmp_path.chmod(0o755)
    host = await run(tmp_path)
    try:
        assert tmp_path.stat().st_mode & 0o777 == 0o755
        assert wide(tmp_path) == {"of another": "0o644"}
    finally:
        await host.shutdown()


async def test_a_snapshot_is_never_open_to_others(tmp_path, open_handed):
    from cloudos_host.data import schema_upgrade

    host = await run(tmp_path / "data")
    (tmp_path / "data" / "snapshots").mkdir(mode=0o755)
    try:
        made = await asyncio.to_thread(
            schema_upgrade.snapshot, host.db.write_engine, tmp_path / "data" / "snapshots", host.clock.now()
        )
        assert made.stat().st_size > 0
        assert wide(tmp_path / "data") == {}
    finally:
        await host.shutdown()


def test_whatever_the_command_line_starts_makes_files_for_itself_alone(tmp_path):
    script = (
        "import os, sys; sys.argv = ['cloudos', 'plugins']\n"
        "from cloudos_host.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit(0 if os.umask(0) == 0o077 else 3)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, stdout=subprocess.DEVNULL).returncode == 0


def test_the_fixture_is_open_handed(open_handed, tmp_path):
    (tmp_path / "x").write_text("")
    assert wide(tmp_path) == {"x": "0o644"}
