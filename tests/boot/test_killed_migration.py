"""A node that is killed in the middle of an upgrade of its tables upgrades them at the next start."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

NODE = """
import asyncio, sys
from pathlib import Path
from types import ModuleType

from cloudos_sdk import Manifest
from cloudos_host.config import Config, HostSettings
from cloudos_host.plugins.discovery import given
from cloudos_host.host import Host

sys.path.insert(0, sys.argv[1])
module = ModuleType("grower")
module.manifest = Manifest(title="Grower", migrations="grower_steps")


async def main():
    settings = HostSettings(data_dir=Path(sys.argv[1]) / "data", required=())
    host = Host(Config(settings), found=[given("grower", module)])
    await host.boot()
    print(host.records[0].state.value)
    await host.shutdown()


asyncio.run(main())
"""
STEP = """
import os
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {before}


def upgrade():
    op.create_table("grower_{revision}", sa.Column("id", sa.Integer()))
    op.execute("INSERT INTO grower_{revision} VALUES (1)")
    if os.environ.get("DIE_AT") == revision:
        os.kill(os.getpid(), 9)
"""


def step(folder, revision, before):
    package = folder / "grower_steps"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / f"{revision}_step.py").write_text(STEP.format(revision=revision, before=repr(before)))


def start(folder, **environment):
    own = {name: value for name, value in os.environ.items() if name != "CLOUDOS_HOST__DATABASE_URL"}
    command = [sys.executable, "-c", NODE, str(folder)]
    done = subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def tables(folder):
    with closing(sqlite3.connect(folder / "data" / "cloudos.db")) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'grower%'").fetchall()
        return {name for (name,) in found}


def test_a_kill_in_the_middle_of_an_upgrade_leaves_the_tables_as_they_were(tmp_path):
    step(tmp_path, "0001", None)
    code, out = start(tmp_path)
    assert (code, out.splitlines()[-1]) == (0, "running")
    before = tables(tmp_path)
    step(tmp_path, "0002", "0001")
    step(tmp_path, "0003", "0002")
    assert start(tmp_path, DIE_AT="0003")[0] == -9
    assert tables(tmp_path) == before
    snapshot = max((tmp_path / "data" / "snapshots").glob("before-*.db"))
    with closing(sqlite3.connect(snapshot)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    code, out = start(tmp_path)
    assert (code, out.splitlines()[-1]) == (0, "running")
    assert tables(tmp_path) == before | {"grower_0002", "grower_0003"}
