"""Periodic work: supervised, never twice at once, each run recorded, a missed daily run made up once."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

from cloudos_sdk import Job
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as
from sqlalchemy import delete, func, insert, select

from cloudos_host.containment import contained, sentence_of
from cloudos_host.data.database import Database
from cloudos_host.data.models import JobRun
from cloudos_host.data.retried_write import write_surely

_TABLE = JobRun.__table__


def wait_of(job: Job, last: datetime | None, now: datetime) -> float:
    """Return the seconds until the next run; `last` is when it last began."""
    if job.every is not None:
        if last is None:
            return job.every.total_seconds() * random.uniform(0.0, 0.1)  # noqa: S311 - jitter
        every = job.every * random.uniform(0.95, 1.05)  # noqa: S311 - jitter
        until = (last + every - now).total_seconds()
        return max(0.0, min(until, every.total_seconds()))  # `last` lies ahead where the clock was set back
    at = job.daily
    if at is None:
        raise ValueError(f"job {job.name!r} has no schedule")
    today = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    latest = today if today <= now else today - timedelta(days=1)
    if last is not None and last < latest:
        return 0.0
    return (latest + timedelta(days=1) - now).total_seconds()


async def supervise(ctx: Any, job: Job, db: Database) -> None:
    """Run one job for ever."""
    enter_context(ctx)
    act_as(Caller(None))
    while True:
        last = await _last(db, ctx.id, job.name)
        await ctx.clock.sleep(wait_of(job, last, ctx.clock.now()))
        if job.feature is not None and not ctx.licence.has(job.feature):
            await ctx.clock.sleep(60.0)
            continue
        await run_once(ctx, job, db)


async def run_once(ctx: Any, job: Job, db: Database) -> JobRun:
    """Run a job now and record how it went."""
    run = JobRun(plugin=ctx.id, job=job.name, started_at=ctx.clock.now(), outcome="succeeded")
    try:
        async with asyncio.timeout(job.timeout.total_seconds()):
            await contained(job.run(ctx))
    except TimeoutError:
        run.outcome, run.error = "timed_out", f"not done after {job.timeout}"
    except Exception as error:
        run.outcome, run.error = "failed", sentence_of(error)
        ctx.faults.note(f"job {job.name}", error)
        ctx.log.error("job failed", job=job.name, exc_info=error)
    run.finished_at = ctx.clock.now()
    store = insert(_TABLE).values(run.model_dump(exclude={"id"}))
    await write_surely(db, ctx.clock, ctx.log, f"the run of job {job.name}", lambda session: session.execute(store))
    return run


async def prune(db: Database, before: datetime) -> None:
    """Forget the runs that began before `before`, but for the newest of each job."""
    newest = select(func.max(_TABLE.c.id)).group_by(_TABLE.c.plugin, _TABLE.c.job)
    statement = delete(_TABLE).where(_TABLE.c.started_at < before, _TABLE.c.id.not_in(newest))
    await db.write(lambda session: session.execute(statement))


async def _last(db: Database, plugin: str, job: str) -> datetime | None:
    statement = select(func.max(_TABLE.c.started_at)).where(_TABLE.c.plugin == plugin, _TABLE.c.job == job)
    last: datetime | None = await db.read(lambda session: session.execute(statement).scalar())
    return last
