"""One host at a time uses a database, whatever data folder it has."""

from __future__ import annotations

import os
import shutil

import pytest
from boot_plugins import notes_plugin
from sqlalchemy import create_engine, text

from cloudos_host.cli.doctor import diagnose
from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.node import HostError
from cloudos_host.plugins.discovery import given


def config(folder, url):
    return Config(HostSettings(data_dir=folder, required=(), database_url=url), {}, "the test")


async def test_two_folders_do_not_share_a_database(cloudos, tmp_path):
    server = os.environ.get("CLOUDOS_HOST__DATABASE_URL")
    url = {} if server is not None else {"database_url": f"sqlite:///{tmp_path / 'shared.db'}"}
    first = await cloudos(notes_plugin(), **url)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(tmp_path / "data" / "host.key", other / "host.key")
    second = Host(config(other, first.database_url), found=[given("jotter", notes_plugin())])
    with pytest.raises(HostError, match=r"another host .* uses the database"):
        await second.boot()
    await second.shutdown()
    findings = [finding for finding in await diagnose(config(other, first.database_url)) if not finding.ok]
    assert any("another host" in finding.detail for finding in findings)
    await first.stop()
    await second.boot()
    await second.shutdown()


async def test_what_another_process_holds_for_long_is_503_and_not_waited_for_without_end(cloudos, monkeypatch):
    monkeypatch.setattr("cloudos_host.data.database._LOCK_LIMIT", 200)
    host = await cloudos(notes_plugin())
    other = create_engine(host.host.db.url)
    held = "BEGIN IMMEDIATE" if host.host.db.dialect == "sqlite" else "LOCK TABLE host_event IN ACCESS EXCLUSIVE MODE"
    with other.connect() as connection:
        connection.exec_driver_sql(held)
        answer = await host.client.post("/api/jotter", json={"text": "x"})
        assert (answer.status_code, (await answer.get_json())["error"]) == (503, "database_busy")
        assert answer.headers["Retry-After"] == "5"
        connection.rollback()
    assert (await host.client.post("/api/jotter", json={"text": "x"})).status_code == 201
    assert (await host.anonymous.get("/api/ready")).status_code == 200
    other.dispose()


async def test_a_lock_whose_connection_was_lost_is_taken_again_and_one_that_is_taken_stops_the_writes(cloudos):
    host = await cloudos(notes_plugin())
    lock = host.host.node.database_lock
    if lock is None or not host.database_url.startswith("postgresql"):  # a file's lock cannot be lost
        return
    engine = create_engine(host.database_url, isolation_level="AUTOCOMMIT")
    ended = text("SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = :name")
    with engine.connect() as other:
        other.execute(ended, {"name": lock._name})
        await lock.look(host.host.db)
        assert (await host.client.post("/api/jotter", json={"text": "x"})).status_code == 201

        other.execute(ended, {"name": lock._name})
        assert other.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": 0x636C6F75646F74}).scalar()
        with pytest.raises(Exception, match="taken the node's database"):
            await lock.look(host.host.db)
        answer = await host.client.post("/api/jotter", json={"text": "x"})
        assert (answer.status_code, (await answer.get_json())["error"]) == (503, "database_taken")
        await host.host.health.check()
        assert (await host.anonymous.get("/api/ready")).status_code == 503

        other.execute(text("SELECT pg_advisory_unlock_all()"))
        await lock.look(host.host.db)
        await host.host.health.check()
        assert (await host.anonymous.get("/api/ready")).status_code == 200
        assert (await host.client.post("/api/jotter", json={"text": "x"})).status_code == 201
    engine.dispose()
