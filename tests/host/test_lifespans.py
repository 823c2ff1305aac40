"""What a plugin began ends with it: over a second try, a failure, and a revocation."""

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType

import pytest
from boot_plugins import Jotted, notes_plugin
from cloudos_sdk import Job, Manifest, NotReady, hookimpl
from components.environments import clean_environ

from cloudos_host.config import Config, ConfigError, HostSettings, load, unknown_sections
from cloudos_host.data.database import Database
from cloudos_host.data.outbox import EventOutbox


def made(name, lifespan, *jobs, **manifest):
    module = ModuleType(name)
    module.manifest = Manifest(title=name, prefixes=(f"/api/{name}",), **manifest)

    @hookimpl
    def cloudos_jobs():
        return jobs

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        await lifespan(ctx)
        yield

    module.cloudos_jobs, module.cloudos_lifespan = cloudos_jobs, cloudos_lifespan
    return module


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_second_try_begins_afresh(cloudos):
    seen, tries = [], []

    class Thing:
        pass

    async def start(ctx):
        async def read(envelope):
            seen.append(envelope.id)

        ctx.provide(Thing, Thing())
        ctx.events.subscribe(read, "*", name="all", from_start=True)
        tries.append(1)
        if len(tries) == 1:
            raise NotReady("not yet")

    host = await cloudos(notes_plugin(), made("second", start))
    assert host.ctx("second").all(Thing) == []
    await host.clock.advance(1)
    assert host.state("second") == "running"
    assert len(host.ctx("second").all(Thing)) == 1
    await host.client.post("/api/jotter", json={"text": "once"})
    await until(lambda: seen)
    await asyncio.sleep(0.1)
    assert len(seen) == 1


async def test_jobs_run_only_while_their_plugin_does(cloudos):
    ran = []

    async def work(ctx):
        ran.append(ctx.id)

    async def fine(ctx):
        return None

    async def fails(ctx):
        raise RuntimeError("no")

    job = Job(name="work", every=timedelta(minutes=1), run=work)
    host = await cloudos(made("works", fine, job), made("broken", fails, job))
    async with asyncio.timeout(5):
        while not ran:
            await host.clock.advance(10)
    assert set(ran) == {"works"}


async def test_the_paths_of_the_host_cannot_be_taken(cloudos):
    async def start(ctx):
        return None

    module = made("thief", start)
    module.manifest = Manifest(title="Thief", prefixes=("/api/plugins/x",))
    host = await cloudos(module)
    assert host.state("thief") == "failed"
    assert "host's own" in host.record("thief").reason


async def test_the_event_stream_resumes_and_shows_what_another_process_wrote(cloudos):
    host = await cloudos(notes_plugin())
    await host.client.post("/api/jotter", json={"text": "one"})
    await host.client.post("/api/jotter", json={"text": "two"})
    stream = host.host.streams.stream(lambda audience: True, 1)
    assert await anext(stream) == b"retry: 2000\n\n"
    async with asyncio.timeout(10):
        first = (await anext(stream)).decode().splitlines()
        assert first[0] == "id: 2"
        assert json.loads(first[2].removeprefix("data: "))["data"]["text"] == "two"
        other = Database(host.host.db.url)
        log = EventOutbox(other, host.clock, None)
        await other.write(lambda s: log.emit(s, Jotted(resource="x", text="from outside")))
        await other.close()
        assert b"from outside" in await anext(stream)
    await stream.aclose()


async def test_the_event_stream_hides_what_its_listener_may_not_read(cloudos):
    host = await cloudos(notes_plugin())
    await host.client.post("/api/jotter", json={"text": "secret"})
    stream = host.host.streams.stream(lambda audience: audience == "operations:read", 0)
    await anext(stream)
    host.ctx("jotter").events.announce("operation.progressed", {"n": 0}, audience="user:usr_1")
    host.ctx("jotter").events.announce("operation.progressed", {"n": 1}, audience="operations:read")
    async with asyncio.timeout(5):
        assert b'"n":1' in await anext(stream)
    await stream.aclose()


def test_a_section_of_a_plugin_that_is_not_installed_is_a_warning():
    config = Config(HostSettings(), {"atuh": {}, "auth": {}})
    assert unknown_sections(config, ["auth"]) == [
        "[plugins.atuh] is ignored: no plugin 'atuh' is installed; did you mean 'auth'?"
    ]


def test_a_disabled_plugin_that_is_not_installed_is_a_warning():
    config = Config(HostSettings(disabled=("proxi", "apps")))
    assert unknown_sections(config, ["apps", "proxy"]) == [
        "host.disabled names 'proxi': no such plugin is installed; did you mean 'proxy'?"
    ]


@pytest.mark.parametrize("text", ["host = 3", "[plugins]\nvpn = 3", "[hots]", "not toml"])
def test_a_file_of_the_wrong_form_is_an_error_and_no_traceback(tmp_path, text):
    file = tmp_path / "cloudos.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(file, {}, {})


def test_a_port_in_use_is_one_line_and_exit_1(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-c", "from cloudos_host.cli.main import main; main()", "serve"]
        command += ["--port", port, "--data-dir", tmp_path]
        run = subprocess.run(command, env=clean_environ(), capture_output=True, timeout=30)
    assert run.returncode == 1
    assert b"cannot listen on 127.0.0.1:" + port.encode() in run.stderr
    assert b"Traceback" not in run.stderr
