"""Periodic work: recorded, never lost over a restart, never two at once."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from types import ModuleType

import pytest
from cloudos_sdk import Job, Manifest, hookimpl
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from cloudos_host.plugins.jobs import wait_of


def working(*jobs):
    module = ModuleType("worker")
    module.manifest = Manifest(title="Worker")

    @hookimpl
    def cloudos_jobs():
        return jobs

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        yield

    module.cloudos_jobs, module.cloudos_lifespan = cloudos_jobs, cloudos_lifespan
    return module


async def runs(host):
    def load(session):
        return session.execute(text("SELECT job, outcome, error FROM host_job_run ORDER BY id")).all()

    return await host.ctx("worker").db.read(load)


async def advanced_until(host, condition, step):
    async with asyncio.timeout(10):
        while not await condition():
            await host.clock.advance(step)


async def test_each_run_is_recorded_with_its_outcome(cloudos):
    async def fine(ctx):
        pass

    async def fails(ctx):
        raise RuntimeError("no luck")

    async def hangs(ctx):
        await asyncio.sleep(60)

    host = await cloudos(
        working(
            Job(name="fine", every=timedelta(minutes=1), run=fine),
            Job(name="fails", every=timedelta(minutes=1), run=fails),
            Job(name="hangs", every=timedelta(minutes=1), run=hangs, timeout=timedelta(milliseconds=20)),
        )
    )

    async def all_ran():
        return {row.job for row in await runs(host)} == {"fine", "fails", "hangs"}

    await advanced_until(host, all_ran, 10)
    outcomes = {row.job: (row.outcome, row.error) for row in await runs(host)}
    assert outcomes["fine"] == ("succeeded", None)
    assert outcomes["fails"] == ("failed", "RuntimeError: no luck")
    assert outcomes["hangs"][0] == "timed_out"


async def test_a_job_that_takes_longer_than_its_interval_does_not_overlap_itself(cloudos):
    at_once, most = 0, 0

    async def slow(ctx):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await ctx.clock.sleep(300)
        at_once -= 1

    host = await cloudos(working(Job(name="slow", every=timedelta(minutes=1), run=slow, timeout=timedelta(hours=1))))

    async def ran_twice():
        return len(await runs(host)) >= 2

    await advanced_until(host, ran_twice, 30)
    assert most == 1


async def test_a_daily_run_missed_while_the_host_was_down_is_made_up_once(cloudos):
    ran = []

    async def nightly(ctx):
        ran.append(ctx.clock.now())

    host = await cloudos(working(Job(name="nightly", daily=time(2, 0), run=nightly)))

    async def ran_once():
        return len(await runs(host)) == 1

    await advanced_until(host, ran_once, 3600)
    await host.stop()
    await host.clock.advance(3 * 86400)
    await host.start()
    async with asyncio.timeout(5):
        while len(ran) < 2:
            await asyncio.sleep(0.01)
    await host.clock.advance(60)
    assert len(ran) == 2


def test_a_job_needs_exactly_one_schedule():
    for schedule in ({}, {"every": timedelta(1), "daily": time(1)}):
        with pytest.raises(ValueError, match="either `every` or `daily`"):
            Job(name="odd", run=None, **schedule)


moments = st.integers(1_600_000_000, 2_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))


@given(now=moments, last=st.none() | moments, at=st.times())
def test_a_daily_job_waits_less_than_a_day_and_never_runs_twice_for_one_time_of_day(now, last, at):
    job = Job(name="daily", daily=at, run=None)
    wait = wait_of(job, last, now)
    assert 0 <= wait <= 86400
    begun = now + timedelta(seconds=wait)
    assert wait_of(job, begun, begun) > 0


@pytest.mark.parametrize("job", [{"every": timedelta(minutes=5)}, {"daily": time(3, 30)}])
def test_a_clock_that_is_set_back_stops_no_job_for_as_long_as_it_was_ahead(job):
    async def run(ctx):
        pass

    now = datetime(2026, 1, 1, tzinfo=UTC)
    longest = timedelta(minutes=5) * 1.05 if "every" in job else timedelta(days=1)
    assert 0 <= wait_of(Job(name="tick", run=run, **job), now + timedelta(days=365), now) <= longest.total_seconds()
