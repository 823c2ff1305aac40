"""Background work goes on: what fails is logged, told, and begun again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType

import pytest
from boot_plugins import Jotted, notes_plugin
from cloudos_sdk import DatabaseUnavailable, Job, Manifest, hookimpl
from sqlalchemy import func, select

from cloudos_host.data.database import Database
from cloudos_host.data.models import JobRun
from cloudos_host.data.outbox import EventOutbox


@pytest.fixture
def worker():
    """A plugin whose background work fails while `module.error` is set."""
    module = ModuleType("worker")
    module.manifest = Manifest(title="Worker", prefixes=("/api/worker",))
    module.error, module.rounds, module.restart = None, 0, True

    async def work(ctx):
        while True:
            if module.error is not None:
                raise module.error
            module.rounds += 1
            await ctx.clock.sleep(30.0)

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        module.task = ctx.tasks.start("counting", lambda: work(ctx), restart=module.restart)
        yield

    module.cloudos_lifespan = cloudos_lifespan
    return module


async def healthy(host, plugin):
    await host.host.health.check()
    health = host.record(plugin).health
    return health.ok or health.detail


@pytest.mark.parametrize(
    "error", [ValueError("broken"), SystemExit(3), DatabaseUnavailable("full"), asyncio.CancelledError()]
)
async def test_work_that_fails_is_told_and_begun_again_until_it_works(cloudos, worker, error):
    host = await cloudos(worker)
    await asyncio.sleep(0)
    assert await healthy(host, "worker") is True
    worker.error = error
    await host.clock.advance(30)
    told = await healthy(host, "worker")
    assert "counting failed" in told
    assert (await (await host.anonymous.get("/api/ready")).get_json())["degraded"] == ["worker"]
    await host.clock.advance(300)
    assert not worker.task.done()
    worker.error, before = None, worker.rounds
    await host.clock.advance(61)
    assert worker.rounds > before
    await host.clock.advance(120)
    assert await healthy(host, "worker") is True
    await host.stop()
    assert worker.task.done()


async def test_work_that_is_done_once_says_that_it_failed(cloudos, worker):
    worker.restart, worker.error = False, ValueError("broken")
    host = await cloudos(worker)
    await asyncio.wait([worker.task])
    assert "ValueError: broken" in await healthy(host, "worker")


async def until(check, seconds=10):
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.02)


async def test_a_job_goes_on_after_an_outage_and_is_not_run_again_for_it(cloudos, outage):
    module, runs = ModuleType("periodic"), []
    module.manifest = Manifest(title="Periodic")

    async def run(ctx):
        runs.append(ctx.clock.now())

    @hookimpl
    def cloudos_jobs():
        return [Job(name="tick", every=timedelta(minutes=10), run=run)]

    module.cloudos_jobs = cloudos_jobs
    host = await cloudos(module)

    async def ran(times):
        await host.clock.advance(30)
        return len(runs) >= times

    async def recorded():
        count = select(func.count()).select_from(JobRun.__table__)
        return await host.host.db.read(lambda session: session.execute(count).scalar()) == len(runs)

    await until(lambda: ran(1))
    await until(recorded)
    broken = outage(host.host.db)
    broken.on = True
    await until(lambda: ran(2))
    tried = broken.tried
    for _ in range(60):
        await host.clock.advance(30)
    await until(lambda: asyncio.sleep(0, broken.tried > tried))
    assert len(runs) == 2, "a run that could not be recorded yet is not run again"
    broken.on = False
    await until(lambda: ran(3))


async def test_an_operation_ends_once_the_database_is_back(cloudos, outage):
    module = notes_plugin()
    host = await cloudos(module)
    id = (await (await host.client.post("/api/jotter/long", json={"text": "x"})).get_json())["operation_id"]
    await asyncio.wait_for(module.entered.wait(), 10)
    broken = outage(host.host.db)
    broken.on = True
    module.release.set()
    await until(lambda: asyncio.sleep(0, broken.tried > 0))
    await host.clock.advance(5)
    broken.on = False

    async def ended():
        await host.clock.advance(31)
        found = await (await host.client.get(f"/api/operations/{id}")).get_json()
        return found["state"] == "succeeded"

    await until(ended)


async def test_an_open_stream_of_events_goes_on_after_an_outage(cloudos, outage, monkeypatch):
    monkeypatch.setattr("cloudos_host.http.sse._PAUSE", 0.01)
    host = await cloudos(notes_plugin())
    stream = host.host.streams.stream(lambda audience: True, 0)
    await anext(stream)
    broken = outage(host.host.db)
    await host.client.post("/api/jotter", json={"text": "before"})
    assert b"before" in await asyncio.wait_for(anext(stream), 10)
    broken.on = True
    host.host.events._committed()
    await until(lambda: asyncio.sleep(0, broken.tried > 0))
    broken.on = False
    await host.client.post("/api/jotter", json={"text": "after"})
    assert b"after" in await asyncio.wait_for(anext(stream), 10)
    await stream.aclose()


async def test_a_reader_of_events_gives_no_event_up_for_an_outage(cloudos, outage):
    module, seen = ModuleType("follower"), []
    jotter = notes_plugin()
    module.manifest = Manifest(title="Follower")

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        async def read(envelope):
            if len(seen) < 12:
                seen.append("refused")
                raise DatabaseUnavailable("The disk is full.", code="database_full")
            seen.append(envelope.data["text"])

        ctx.events.subscribe(read, "jotter.jotted", name="texts", from_start=True)
        yield

    module.cloudos_lifespan = cloudos_lifespan
    host = await cloudos(jotter, module)
    import cloudos_host.data.outbox as events

    before, events._POLL = events._POLL, 0.01
    try:
        await host.client.post("/api/jotter", json={"text": "kept"})
        await until(lambda: asyncio.sleep(0, seen[-1:] == ["kept"]))
    finally:
        events._POLL = before
    assert await host.host.events.lost("follower") == 0


async def test_what_another_process_wrote_during_an_outage_is_noticed_after_it(cloudos, outage, monkeypatch):
    monkeypatch.setattr("cloudos_host.data.outbox._POLL", 0.05)
    module = notes_plugin()
    host = await cloudos(module)
    await host.client.post("/api/jotter", json={"text": "before"})
    await until(lambda: asyncio.sleep(0, len(module.seen) == 1))
    broken = outage(host.host.db)
    broken.on = True
    await until(lambda: asyncio.sleep(0, broken.tried > 0))
    other = Database(host.host.db.url)
    log = EventOutbox(other, host.clock, None)
    await other.write(lambda session: log.emit(session, Jotted(resource="x", text="from outside")))
    await other.close()
    await host.clock.advance(0)
    broken.on = False
    await host.clock.advance(2)
    await until(lambda: asyncio.sleep(0, len(module.seen) == 2))
