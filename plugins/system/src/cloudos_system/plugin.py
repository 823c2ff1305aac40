"""The system: the machine's properties, current usage and history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from cloudos_sdk import Component, Context, Health, Job, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import Apps, Authenticator, Metrics, MetricSource
from quart import Blueprint

from cloudos_system.disks import smartctl
from cloudos_system.disks.health import DiskChecks
from cloudos_system.jobs import CHECK_DISKS, PRUNE
from cloudos_system.machine.node_identity import node_id
from cloudos_system.machine.system_source import SystemSource
from cloudos_system.models import Base
from cloudos_system.pages import PAGES
from cloudos_system.routes import routes
from cloudos_system.series.history import MetricHistory
from cloudos_system.series.minute_buffer import MinuteBuffer
from cloudos_system.series.network_history import NetworkTraffic
from cloudos_system.series.retention import SeriesRetention
from cloudos_system.series.sampler import PERIOD, Sampler
from cloudos_system.series.store import SeriesStore
from cloudos_system.series.stream import MetricStreams
from cloudos_system.service import SystemService
from cloudos_system.settings import SystemSettings


def _probe(settings: Any) -> str:
    return smartctl.version(settings.smartctl)


manifest = Manifest(
    title="The system: metrics, disks, interfaces",
    prefixes=("/api/system", "/api/network"),
    settings=SystemSettings,
    tables=Base,
    migrations="cloudos_system.migrations",
    permissions=(Permission("system:read", "See the machine, what it uses and its history", Role.VIEWER),),
    components=(Component("smartctl", _probe, "apt-get install smartmontools", optional=True),),
    provides=(Metrics, MetricSource),
    uses=(Apps, Authenticator),
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the system endpoints."""
    return [routes]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the look at the disks and the end of old history."""
    return [CHECK_DISKS, PRUNE]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Sample while the plugin runs; the last minute is written at the end."""
    readers = ThreadPoolExecutor(2, thread_name_prefix="system")
    askers = ThreadPoolExecutor(1, thread_name_prefix="smartctl")
    store = SeriesStore(ctx.db, ctx.log)
    await store.load()
    minutes = MinuteBuffer(store, ctx.log)
    checks = DiskChecks(ctx.settings.smartctl, ctx.clock, ctx.log, askers)
    sampler = Sampler(ctx.clock, ctx.log, lambda: ctx.all(MetricSource), minutes)
    ctx.provide(MetricSource, SystemSource(checks.reports, readers))
    ctx.provide(Metrics, sampler)
    ctx.provide(Sampler, sampler)
    ctx.provide(DiskChecks, checks)
    ctx.provide(MinuteBuffer, minutes)
    ctx.provide(MetricHistory, MetricHistory(ctx.db, store, minutes))
    ctx.provide(MetricStreams, MetricStreams(sampler))
    ctx.provide(NetworkTraffic, NetworkTraffic(ctx.db, store, minutes, sampler.recent, PERIOD))
    ctx.provide(SeriesRetention, SeriesRetention(store, ctx.clock, ctx.log))
    ctx.provide(SystemService, SystemService(node_id(ctx.data_dir), sampler, readers))
    writing = ctx.tasks.start("minutes of metrics", minutes.run)
    sampling = ctx.tasks.start("sampler", sampler.run)
    try:
        yield
    finally:
        await sampler.close()
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        minutes.close()
        await writing
        readers.shutdown(wait=False, cancel_futures=True)
        askers.shutdown(wait=False, cancel_futures=True)


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Check that the sampler keeps up and that no disk is failing."""
    sampler, checks = ctx.find(Sampler), ctx.find(DiskChecks)
    if sampler is None or checks is None:
        return Health(False, "The sampler does not run.")
    if sampler.behind() > 6 * PERIOD:
        return Health(False, f"Nothing was measured for {sampler.behind():.0f} seconds.")
    if (trouble := ctx.use(MinuteBuffer).trouble) is not None:
        return Health(False, trouble)
    failing = sorted(name for name, report in checks.reports().items() if report.status == "failing")
    if failing:
        return Health(False, f"Failing: {', '.join(failing)}; replace it, `GET /api/system/disk/health` tells why.")
    return Health(True)
