"""Plugins that misbehave once they run: the node serves on, the caller is answered, and the operator is told which."""

import asyncio
import functools
import logging
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType

import pytest
from cloudos_sdk import Event, Feature, Job, Manifest, Mount, Policy, hookimpl, licensed, public
from cloudos_sdk.context import current
from cloudos_sdk.testing.fixtures import FakeClock
from components.environments import clean_environ
from quart import Blueprint, Quart, websocket

from cloudos_host.containment import Faults, PluginCrash, contained, task_factory
from cloudos_host.plugins.discovery import discover


class Ends(BaseException):
    """What no `except Exception` catches."""


RAISED = {
    "sys.exit": lambda: sys.exit(3),
    "KeyboardInterrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt()),
    "CancelledError": lambda: (_ for _ in ()).throw(asyncio.CancelledError()),
    "BaseException": lambda: (_ for _ in ()).throw(Ends("over")),
    "Exception": lambda: 1 / 0,
}
raised = pytest.mark.parametrize("breaks", RAISED.values(), ids=RAISED)


def plugin(name, **hooks):
    """Make a plugin with these hooks, which answers at /api/<name>/well; `manifest` adds to its manifest."""
    module = ModuleType(name)
    module.manifest = Manifest(title=name, prefixes=(f"/api/{name}",), **hooks.pop("manifest", {}))
    routes = Blueprint(name, name)

    async def well():
        return {"plugin": name}

    routes.get(f"/api/{name}/well")(public(well))
    for path, view in hooks.pop("routes", {}).items():
        routes.get(f"/api/{name}/{path}")(public(view))
    for path, view in hooks.pop("websockets", {}).items():
        routes.websocket(f"/api/{name}/{path}")(public(view))
    module.cloudos_routes = hookimpl(lambda: [routes])
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def lifespan(begin=None, end=None):
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        if begin is not None:
            await begin(ctx)
        yield
        if end is not None:
            await end(ctx)

    return cloudos_lifespan


def raising(breaks):
    async def view(*_):
        breaks()
        return {}

    return view


async def serves(host, *names):
    for name in names:
        assert (await host.client.get(f"/api/{name}/well")).status_code == 200


@raised
async def test_a_route_is_answered_with_500_and_the_log_names_plugin_and_path(cloudos, breaks, capsys):
    host = await cloudos(plugin("good"), plugin("bad", routes={"breaks": raising(breaks)}))
    answer = await host.client.get("/api/bad/breaks")
    assert answer.status_code == 500 and (await answer.get_json())["error"] == "internal_error"
    said = capsys.readouterr().out
    assert "request crashed" in said and "plugin=bad" in said and "/api/bad/breaks" in said
    await serves(host, "good", "bad")


@raised
async def test_a_mount_is_answered_with_500_and_the_log_names_plugin_and_path(cloudos, breaks, capsys):
    async def app(scope, receive, send):
        breaks()

    mounts = [Mount("/api/bad/mounted", app, Policy(access="public"))]
    host = await cloudos(plugin("good"), plugin("bad", cloudos_mounts=lambda: mounts))
    answer = await host.client.get("/api/bad/mounted")
    assert answer.status_code == 500 and (await answer.get_json())["error"] == "internal_error"
    assert "plugin=bad" in capsys.readouterr().out
    await serves(host, "good", "bad")


@raised
async def test_a_websocket_ends_alone(cloudos, breaks):
    async def view():
        await websocket.accept()
        await websocket.receive()
        breaks()

    host = await cloudos(plugin("good"), plugin("bad", websockets={"talk": view}))
    client = host.host.app.test_client()
    with pytest.raises(Exception):  # noqa: B017 - the client of the tests says in its own ways that it ended
        async with client.websocket("/api/bad/talk") as talk:
            await talk.send("x")
            await asyncio.wait_for(talk.receive(), 5)
    await serves(host, "good", "bad")


@raised
async def test_repeated_crashes_count_into_health_and_fade(cloudos, breaks):
    host = await cloudos(plugin("good"), plugin("bad", routes={"breaks": raising(breaks)}))
    for _ in range(3):
        await host.client.get("/api/bad/breaks")
    await host.host.health.check()
    health = host.record("bad").health
    assert not health.ok and "3 failures within ten minutes" in health.detail and "GET /api/bad/breaks" in health.detail
    assert host.record("good").health.ok
    await host.clock.advance(700)
    await host.host.health.check()
    assert host.record("bad").health.ok


@raised
async def test_a_job_fails_alone_and_is_recorded(cloudos, breaks):
    jobs = [Job(name="breaks", every=timedelta(hours=1), run=raising(breaks))]
    host = await cloudos(plugin("good"), plugin("bad", cloudos_jobs=lambda: jobs))
    from cloudos_host.plugins.jobs import run_once

    run = await run_once(host.ctx("bad"), jobs[0], host.host.db)
    assert run.outcome == "failed" and run.error
    await serves(host, "good", "bad")


@dataclass(frozen=True, kw_only=True)
class Happened(Event, type="bad.happened"):
    """Something happened."""


@raised
async def test_a_handler_of_events_is_tried_again_and_others_go_on(cloudos, breaks):
    seen = []

    async def note(envelope):
        seen.append(envelope.id)

    async def begin(ctx):
        async def handle(envelope):
            breaks()

        ctx.events.subscribe(handle, Happened, name="broken")
        ctx.events.subscribe(note, Happened, name="whole")

    bad = plugin("bad", cloudos_lifespan=lifespan(begin), manifest={"emits": (Happened,)})
    host = await cloudos(plugin("good"), bad)
    async with asyncio.timeout(20):
        while not {"bad:broken", "bad:whole"} <= host.host.events.reached.keys():  # they read from now on
            await asyncio.sleep(0.01)
        await host.ctx("bad").db.write(lambda s: host.ctx("bad").events.emit(s, Happened(resource="x", details="y")))
        while not seen or not host.ctx("bad").faults._recent:
            await host.clock.advance(0.1)
            await asyncio.sleep(0.01)
    assert len(seen) == 1
    await serves(host, "good", "bad")


@raised
async def test_an_operation_fails_alone(cloudos, breaks):
    async def begin(ctx):
        ctx.operations.register("break", raising(breaks))

    host = await cloudos(plugin("good"), plugin("bad", cloudos_lifespan=lifespan(begin)))
    ctx = host.ctx("bad")
    id = await ctx.db.write(lambda s: ctx.operations.start(s, "break", "x", "Break", {}))
    from cloudos_host.data.operations import load

    async with asyncio.timeout(5):
        while (row := await load(host.host.db, id, lambda _: True)).state in ("queued", "running"):
            await asyncio.sleep(0.01)
    assert row.state == "failed"
    await serves(host, "good", "bad")


@raised
async def test_background_work_is_begun_again_and_told(cloudos, breaks):
    async def begin(ctx):
        ctx.tasks.start("breaks", raising(breaks))

    host = await cloudos(plugin("good"), plugin("bad", cloudos_lifespan=lifespan(begin)))
    await asyncio.sleep(0)
    await host.host.health.check()
    assert not host.record("bad").health.ok and "breaks failed" in host.record("bad").health.detail
    await serves(host, "good", "bad")


@raised
async def test_a_health_check_is_a_plugin_that_is_ill(cloudos, breaks):
    host = await cloudos(plugin("good"), plugin("bad", cloudos_health=lambda ctx: raising(breaks)()))
    await host.host.health.check()
    assert not host.record("bad").health.ok
    await serves(host, "good", "bad")


@raised
@pytest.mark.parametrize("when", ["begin", "end"])
async def test_a_lifespan_fails_its_plugin_alone(cloudos, breaks, when):
    async def fails(ctx):
        breaks()

    host = await cloudos(plugin("good"), plugin("bad", cloudos_lifespan=lifespan(**{when: fails})))
    await serves(host, "good")
    async with asyncio.timeout(10):
        await host.stop()


@raised
async def test_work_after_a_commit_leaves_the_commit_and_its_caller(cloudos, breaks):
    host = await cloudos(plugin("good"), plugin("bad"))
    db = host.ctx("bad").db
    assert await asyncio.wait_for(db.write(lambda s: db.after_commit(s, breaks) or 7), 5) == 7
    assert await asyncio.wait_for(db.write(lambda s: 8), 5) == 8


def test_a_task_of_a_plugin_that_exits_does_not_end_the_process():
    async def leaves():
        sys.exit(3)

    async def main():
        asyncio.get_running_loop().set_task_factory(task_factory)
        task = asyncio.create_task(leaves(), name="bad:leaves")
        assert task.get_name() == "bad:leaves"
        with pytest.raises(PluginCrash, match=r"sys\.exit\(3\)"):
            await task
        never = asyncio.create_task(asyncio.sleep(0))
        never.cancel()
        await asyncio.sleep(0)
        return "served on"

    assert asyncio.run(main()) == "served on"


async def test_a_cancellation_from_outside_stays_one():
    task = asyncio.create_task(contained(asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_faults_below_three_are_no_trouble():
    faults = Faults(FakeClock())
    faults.note("a", "b")
    faults.note("a", ValueError("c"))
    assert faults.trouble() is None
    faults.note("a", SystemExit(2))
    assert "it called sys.exit(2)" in faults.trouble()


DECLARED = {
    "a misspelt hook": (dict(cloudos_route=lambda: []), "cloudos_route is no hook; did you mean cloudos_routes?"),
    "jobs that are None": (dict(cloudos_jobs=lambda: None), "cloudos_jobs returned NoneType instead of a list of Job"),
    "a thing that is no job": (dict(cloudos_jobs=lambda: ["daily"]), "cloudos_jobs lists str 'daily'"),
    "a job without pause": (
        dict(cloudos_jobs=lambda: [Job(name="hot", every=timedelta(0), run=raising(int))]), "the least is a second",
    ),
    "two jobs of one name": (
        dict(cloudos_jobs=lambda: [Job(name="x", every=timedelta(hours=1), run=raising(int))] * 2), "two jobs are",
    ),
    "a job that is not async": (
        dict(cloudos_jobs=lambda: [Job(name="x", every=timedelta(hours=1), run=print)]), "is not `async def`",
    ),
    "mounts that are none": (dict(cloudos_mounts=lambda: [object()]), "instead of a Mount"),
    "a feature that nobody declares": (
        dict(routes={"x": licensed("orbit_grap")(raising(int))}), "'orbit_grap', which is not declared; did you mean",
    ),
    "a plan that there is not": (
        dict(manifest={"features": (Feature("x", "X", required_plan="gold"),)}), "'gold', which is no plan",
    ),
    "an event that is none": (dict(manifest={"emits": ("bad.happened",)}), "no event class"),
    "settings that are no model": (dict(manifest={"settings": dict}), "not a subclass of PluginSettings"),
    "a list in place of a tuple": (dict(manifest={"provides": []}), "`provides` is not a tuple"),
    "a permission as text": (dict(manifest={"permissions": ("bad:read",)}), "instead of a Permission"),
    "a path to share that is not its own": (dict(manifest={"shares": ("/api/auth/x",)}), "below none of its prefixes"),
}  # fmt: skip


@pytest.mark.parametrize(("hooks", "reason"), DECLARED.values(), ids=DECLARED)
async def test_a_declaration_that_is_wrong_fails_its_plugin_alone(cloudos, hooks, reason):
    hooks = {**hooks, **({"routes": dict(hooks["routes"])} if "routes" in hooks else {})}
    host = await cloudos(plugin("good"), plugin("bad", **hooks))
    record = host.record("bad")
    assert record.state.value == "failed" and reason in record.reason
    await serves(host, "good")


async def test_a_hook_without_its_mark_is_told(cloudos):
    bad = plugin("bad")
    bad.cloudos_jobs = lambda: []
    host = await cloudos(plugin("good"), bad)
    assert "cloudos_jobs is not marked with @hookimpl" in host.record("bad").reason


@pytest.mark.parametrize("hook", ["before_app_request", "app_errorhandler", "record", "before_app_serving"])
async def test_a_blueprint_changes_nothing_of_the_whole_application(cloudos, hook):
    routes = Blueprint("wide", "wide")
    register = getattr(routes, hook)
    (register(404) if hook == "app_errorhandler" else register)(functools.partial(raising(int)))
    host = await cloudos(plugin("good"), plugin("bad", cloudos_routes=lambda: [routes]))
    assert f"`{hook}`, which is for the whole application" in host.record("bad").reason
    assert (await host.client.get("/api/nothing")).status_code == 404
    await serves(host, "good")


async def test_a_path_below_anothers_is_refused_unless_that_shares_it(cloudos):
    nested = plugin("nested", manifest={})
    nested.manifest = Manifest(title="nested", prefixes=("/api/good/inner",))
    nested.cloudos_routes = hookimpl(lambda: [])
    host = await cloudos(plugin("good"), nested)
    assert (
        "its path /api/good/inner lies below /api/good of 'good', which does not share it"
        in host.record("nested").reason
    )
    await serves(host, "good")
    sharing = plugin("good", manifest={"shares": ("/api/good/inner",)})
    await host.stop()
    host = await cloudos(sharing, nested)
    assert host.record("nested").state.value == "running"


async def test_the_context_of_a_request_is_its_plugins(cloudos):
    seen = []

    async def view():
        seen.append(current().id)
        return {}

    host = await cloudos(plugin("good", routes={"x": view}))
    await host.client.get("/api/good/x")
    assert seen == ["good"]


async def test_what_a_plugin_changes_for_the_whole_process_is_put_back_and_told(cloudos, capsys):
    level, before, method = logging.root.level, signal.getsignal(signal.SIGTERM), Quart.make_response

    async def begin(ctx):
        signal.signal(signal.SIGTERM, lambda *_: None)
        logging.root.setLevel(logging.CRITICAL)
        Quart.make_response = lambda *_: None
        Quart.added_by_a_plugin = 1

    host = await cloudos(plugin("good"), plugin("bad", cloudos_lifespan=lifespan(begin)))
    assert (signal.getsignal(signal.SIGTERM), logging.root.level, Quart.make_response) == (before, level, method)
    assert not hasattr(Quart, "added_by_a_plugin")
    said = capsys.readouterr().out
    for what in ("the handler of SIGTERM", "the level of the log", "Quart.make_response", "Quart.added_by_a_plugin"):
        assert what in said
    assert "plugin=bad" in said
    await host.host.health.check()
    assert not host.record("bad").health.ok, "four changes are trouble"
    await serves(host, "good", "bad")


HANGS = {
    "a lifespan that never ends": "async def end():\n    await asyncio.Event().wait()",
    "a lifespan that blocks": "async def end():\n    time.sleep(600)",
    "a task that refuses to end": """async def end():
    async def stays():
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass
    await stays()""",
    "a thread that is left": """async def end():
    threading.Thread(target=time.sleep, args=(600,), name="left-behind").start()""",
}


@pytest.mark.parametrize("source", HANGS.values(), ids=HANGS)
def test_a_stop_ends_in_time_whatever_a_plugin_does(tmp_path, source):
    package = tmp_path / "stuck"
    package.mkdir()
    (package / "stuck.py").write_text(
        f"""import asyncio, threading, time
from contextlib import asynccontextmanager
from cloudos_sdk import Manifest, hookimpl
manifest = Manifest(title="Stuck")
{source}
@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx):
    yield
    await end()
"""
    )
    info = package / "stuck-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stuck\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[cloudos.plugins]\nstuck = stuck\n")
    environ = {
        "PYTHONPATH": str(package), "CLOUDOS_HOST__REQUIRED": "[]", "CLOUDOS_HOST__STOP_LIMIT": "2",
        "CLOUDOS_HOST__DISABLED": str([f.id for f in discover() if f.id != "stuck"]).replace("'", '"'),
    }  # fmt: skip
    code = "from cloudos_host.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--data-dir", tmp_path / "data"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**clean_environ(), **environ}, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 30
            while "plugin=stuck" not in (tmp_path / "log").read_text():
                assert process.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            process.wait(25)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    told = [line for line in (tmp_path / "log").read_text().splitlines()]
    told = [line for line in told if "the stop took longer" in line or "plugin does not stop" in line]
    assert any("stuck" in line or "left-behind" in line for line in told), told
