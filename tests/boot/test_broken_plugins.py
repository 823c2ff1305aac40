"""Ten plugins, each broken in its own way: every one stops alone, and all others go on serving."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from cloudos_sdk import Manifest, NotReady, hookimpl, public
from quart import Blueprint

from cloudos_host.plugins.discovery import DiscoveredPlugin
from cloudos_host.plugins.startup_crash_log import forget_crashes


def plugin(name, prefix=None, *, policy=public, lifespan=None, **manifest):
    """Make a plugin that answers at /api/<name>."""
    module = ModuleType(name)
    path = prefix or f"/api/{name}"
    module.manifest = Manifest(title=name, prefixes=(path,), **manifest)
    routes = Blueprint(name, name)

    async def answer():
        return {"plugin": name}

    routes.get(path)(policy(answer) if policy else answer)

    @hookimpl
    def cloudos_routes():
        return [routes]

    module.cloudos_routes = cloudos_routes
    if lifespan is not None:

        @hookimpl
        @asynccontextmanager
        async def cloudos_lifespan(ctx):
            await lifespan()
            yield

        module.cloudos_lifespan = cloudos_lifespan
    return module


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Write a module that can be imported, and return it as a found plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        sys.modules.pop(name, None)
        return DiscoveredPlugin(name, name, "(test)", "1")

    return write


async def fails():
    raise RuntimeError("no such luck")


async def hangs():
    await asyncio.Event().wait()


async def waits():
    raise NotReady("the component is not there")


async def check(cloudos, broken, phase, reason, *, state="failed", **kwargs):
    """Boot the broken plugin beside a good one; the good one serves, the broken one answers 503 and says why."""
    host = await cloudos(plugin("good"), broken, **kwargs)
    name = broken.id if isinstance(broken, DiscoveredPlugin) else broken.__name__
    assert (await host.client.get("/api/good")).status_code == 200
    answer = await host.client.get(f"/api/{name}")
    assert answer.status_code == 503
    body = await answer.get_json()
    assert body["error"] == "plugin_unavailable" and body["plugin"] == name
    listed = {p["id"]: p for p in await (await host.client.get("/api/plugins")).get_json()}
    assert (listed[name]["state"], listed[name]["phase"]) == (state, phase)
    assert reason in listed[name]["reason"]
    assert listed["good"]["state"] == "running"
    return host


async def test_an_import_error_stops_that_plugin_alone(cloudos, on_path):
    await check(cloudos, on_path("bad_import", "import no_such_module_at_all"), "import", "no_such_module_at_all")


async def test_sys_exit_stops_that_plugin_alone(cloudos, on_path):
    await check(cloudos, on_path("bad_exit", "import sys; sys.exit(3)"), "import", "sys.exit(3)")


async def test_a_bad_manifest_stops_that_plugin_alone(cloudos, on_path):
    await check(cloudos, on_path("bad_manifest", "manifest = {'title': 'x'}"), "validate", "manifest")


async def test_a_bad_migration_stops_that_plugin_alone(cloudos, tmp_path, monkeypatch):
    package = tmp_path / "bad_steps"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "0001_initial.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\nrevision='0001'\ndown_revision=None\n"
        "def upgrade():\n    op.create_table('bad_migration_x', sa.Column('id', sa.Integer()))\n"
        "    op.execute('NOT SQL')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    host = await check(cloudos, plugin("bad_migration", migrations="bad_steps"), "migrate", "NOT SQL")
    from sqlalchemy import inspect

    assert "bad_migration_x" not in inspect(host.host.db.write_engine).get_table_names(), "half a migration was left"


async def test_a_start_error_stops_that_plugin_alone(cloudos):
    await check(cloudos, plugin("bad_start", lifespan=fails), "start", "no such luck")


async def test_a_slow_start_is_ended_at_the_limit(cloudos):
    await check(cloudos, plugin("bad_slow", lifespan=hangs), "start", "did not start within", start_limit=0.3)


async def test_a_plugin_that_is_not_ready_is_tried_again(cloudos):
    tries = []

    async def second_time():
        tries.append(1)
        if len(tries) == 1:
            await waits()

    host = await check(cloudos, plugin("not_ready", lifespan=second_time), "start", "not there", state="waiting")
    await host.clock.advance(1)
    assert host.state("not_ready") == "running"
    assert (await host.client.get("/api/not_ready")).status_code == 200


async def test_an_endpoint_without_policy_makes_its_plugin_invalid(cloudos):
    await check(cloudos, plugin("no_policy", policy=None), "validate", "no access policy")


async def test_two_owners_of_one_prefix_both_fail(cloudos):
    host = await cloudos(plugin("good"), plugin("one", "/api/same"), plugin("two", "/api/same"))
    assert (host.state("one"), host.state("two"), host.state("good")) == ("failed", "failed", "running")
    assert (await host.client.get("/api/same")).status_code == 503
    assert "'one' and 'two'" in host.record("one").reason


async def test_a_plugin_for_another_sdk_is_not_imported(cloudos):
    found = DiscoveredPlugin("old", "old_module", "cloudos-plugin-old", "1", error="it is made for cloudos-sdk >=99")
    await check(cloudos, found, "discover", ">=99")
    assert "old_module" not in sys.modules


DEAD = {"starting": "deadly", "deaths": {"deadly": 1}}


async def test_twice_dead_while_starting_it_comes_up_disabled_and_readiness_says_so(cloudos, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "boot.json").write_text(json.dumps(DEAD))
    host = await cloudos(plugin("good"), plugin("deadly"))
    assert host.state("deadly") == "disabled"
    assert "cloudos plugins enable deadly" in host.record("deadly").reason
    assert (await host.client.get("/api/good")).status_code == 200
    ready = await host.anonymous.get("/api/ready")
    assert (ready.status_code, (await ready.get_json())["degraded"]) == (200, ["deadly"])
    await host.restart()
    assert host.state("deadly") == "disabled", "the next start is a moment later"


async def test_the_blame_for_two_deaths_fades(cloudos, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "boot.json").write_text(json.dumps(DEAD))
    host = await cloudos(plugin("deadly"))
    await host.clock.advance(3601)
    await host.restart()
    assert host.state("deadly") == "running"
    assert json.loads((data / "boot.json").read_text())["deaths"] == {}


async def test_who_is_blamed_is_tried_again_when_asked_for(cloudos, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "boot.json").write_text(json.dumps(DEAD))
    host = await cloudos(plugin("deadly"))
    assert forget_crashes(data, "deadly")
    assert not forget_crashes(data, "deadly")
    await host.restart()
    assert host.state("deadly") == "running"
