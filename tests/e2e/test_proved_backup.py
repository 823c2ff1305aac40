"""An app's backup is proved and restored for real: its volume, a running container, an engine, and restic."""

import asyncio
import contextlib
import json
import os
import random
import time
import urllib.request
from pathlib import Path

import pytest

TEMPLATE = """
name: web
display_name: Web page
category: websites
version: "1.0"
web_port: web
services:
  - name: web
    image: {image}
    environment: {{GREETING: "${{config.greeting}}"}}
    ports: [{{name: web, container: 8000}}]
    volumes: [{{name: data, path: /data}}]
    healthcheck: {{test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8000/"], interval_s: 1, retries: 3}}
    memory_mb: 64
config:
  - {{name: greeting, type: string, required: true}}
"""


@pytest.fixture
async def ask(cloudos, docker_engine, restic, tmp_path):
    apps = {
        "docker_host": docker_engine.host,
        "settle_seconds": 0.2,
        "health_timeout": 15,
        "stop_seconds": 1,
        "min_free_mb": 1,
        "first_port": 30000 + os.getpid() % 100 * 100,
    }
    backups = {"tries": 1, "retry_seconds": 0, "cache_folder": str(tmp_path / "cache")}
    host = await cloudos("apps", "backups", settings={"apps": apps, "backups": backups})
    folder = host.ctx("apps").data_dir / "templates"
    folder.mkdir(exist_ok=True)
    (folder / "web.yaml").write_text(TEMPLATE.format(image=docker_engine.image("web:1.0")))

    async def ask(method, path, status=200, body=None):
        answer = await host.client.request(method, f"/api/{path}", **({"json": body} if body is not None else {}))
        found = await answer.get_json(silent=True)
        assert answer.status_code == status, (answer.status_code, found)
        return found

    ask.host = host
    yield ask
    await host.stop()
    docker_engine.clean()


async def over(look, ended, seconds=60):
    """Look until it has ended."""
    end = time.monotonic() + seconds
    while not ended(found := await look()):
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)
    return found


async def operation(ask, id, state):
    found = await over(lambda: ask("GET", f"operations/{id}"), lambda o: o["state"] not in ("queued", "running"))
    assert found["state"] == state, found
    return found


async def backed_up(ask, status="completed"):
    begun = await ask("POST", "backups", 201, {"target": "disk", "include_config": False})
    look = lambda: ask("GET", f"backups/{begun['id']}")  # noqa: E731
    found = await over(look, lambda b: b["status"] not in ("queued", "in_progress"))
    assert found["status"] == status, found
    await operation(ask, found["operation_id"], "succeeded")
    return found


def fetched(app):
    for _ in range(50):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{app['addr']}/", timeout=2) as answer:
            return answer.read().decode().strip()
        time.sleep(0.1)
    raise AssertionError("the app does not answer")


@pytest.fixture
async def app(ask, docker_engine, tmp_path):
    made = await ask("POST", "apps", 201, {"template": "web", "name": "blog", "config": {"greeting": "hello"}})
    found = await over(lambda: ask("GET", f"apps/{made['id']}"), lambda a: a["status"] in ("running", "failed"))
    assert found["status"] == "running"
    await ask("POST", "backup/targets", 201, {"name": "disk", "type": "local", "config": {"path": str(tmp_path / "t")}})
    return found


def volumes(engine):
    return engine.names("volume", "ls", "-q", "--filter", "label=cloudos.app")


def data_of(engine, app):
    (name,) = [name for name in volumes(engine) if app["id"].removeprefix("app_") in name]
    return Path(json.loads(engine.cli("volume", "inspect", name))[0]["Mountpoint"])


def containers(engine):
    return engine.names("ps", "-a", "--filter", "label=cloudos.app", "--format", "{{.Names}}")


async def about(ask):
    (found,) = await ask("GET", "backups/apps")
    return found


async def test_a_backup_is_proved_beside_the_app_and_nothing_of_it_is_left(ask, app, docker_engine):
    data = data_of(docker_engine, app)
    (data / "words").write_bytes(random.randbytes(300_000))
    (data / "folder").mkdir()
    await backed_up(ask)
    assert (await about(ask))["last_proved"] is None
    before = containers(docker_engine), volumes(docker_engine)
    begun = await ask("POST", f"backups/apps/{app['id']}/prove", 202)
    await operation(ask, begun["operation_id"], "succeeded")
    found = await about(ask)
    assert found["last_proved"] is not None and found["proof_error"] is None
    assert (containers(docker_engine), volumes(docker_engine)) == before
    assert [shown["id"] for shown in (await ask("GET", "apps"))] == [app["id"]]
    (event,) = [event for event in await ask.host.event_log() if event.type == "backup.proved"]
    assert event.data["app"] == app["id"]


NIGHTLY = {"name": "nightly", "cron": "0 2 * * *", "targets": ["disk"], "include_config": False, "prove": True}


async def test_a_backup_that_cannot_be_restored_is_found_by_its_proof(ask, app, docker_engine, tmp_path):
    (data_of(docker_engine, app) / "words").write_bytes(random.randbytes(300_000))
    await backed_up(ask)
    for pack in (tmp_path / "t" / "data").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 200_000:
            pack.chmod(0o600)
            pack.write_bytes(random.randbytes(pack.stat().st_size))
    before = containers(docker_engine), volumes(docker_engine)
    begun = await ask("POST", f"backups/apps/{app['id']}/prove", 202)
    await operation(ask, begun["operation_id"], "failed")
    found = await about(ask)
    assert found["last_proved"] is None and found["proof_error"]
    assert (containers(docker_engine), volumes(docker_engine)) == before
    assert fetched(app) == "hello from hello"


async def test_an_app_that_is_gone_is_made_again_and_another_beside_it(ask, app, docker_engine):
    (data_of(docker_engine, app) / "words").write_text("of yesterday")
    backup = await backed_up(ask)
    (data_of(docker_engine, app) / "words").write_text("of today")
    begun = await ask("POST", f"backups/{backup['id']}/restore", 202, {"as": "other", "apps": [app["id"]]})
    await operation(ask, begun["operation_id"], "succeeded")
    other = next(found for found in await ask("GET", "apps") if found["name"] == "other")
    assert fetched(other) == "hello from hello" and other["addr"] != app["addr"]
    assert (data_of(docker_engine, other) / "words").read_text() == "of yesterday"
    assert (data_of(docker_engine, app) / "words").read_text() == "of today"
    await ask("DELETE", f"apps/{app['id']}?purge=true", 204)
    await over(lambda: ask("GET", "apps"), lambda apps: [found["name"] for found in apps] == ["other"])
    begun = await ask("POST", f"backups/{backup['id']}/restore", 202, {})
    await operation(ask, begun["operation_id"], "succeeded")
    again = await ask("GET", f"apps/{app['id']}")
    assert again["status"] == "running" and fetched(again) == "hello from hello"
    assert (data_of(docker_engine, again) / "words").read_text() == "of yesterday"


async def test_a_schedule_proves_after_its_backup(ask, app, docker_engine):
    (data_of(docker_engine, app) / "words").write_text("w" * 1000)
    await ask("PUT", "backup/schedule", 200, {"schedules": [NIGHTLY]})
    await ask.host.clock.leap(2 * 3600 + 60)

    async def look():
        await ask.host.clock.advance(5)
        return await ask("GET", "backups/apps")

    (found,) = await over(look, lambda apps: apps and apps[0]["last_proved"] is not None)
    assert found["proof_error"] is None
    assert [backup["status"] for backup in await ask("GET", "backups")] == ["completed"]
