"""Periodic work: disks are asked about their health, old history is removed."""

from __future__ import annotations

from datetime import timedelta

from cloudos_sdk import Context, Job

from cloudos_system.disks.health import DiskChecks
from cloudos_system.series.retention import SeriesRetention


async def _check_disks(ctx: Context) -> None:
    await ctx.use(DiskChecks).check()


async def _prune(ctx: Context) -> None:
    await ctx.use(SeriesRetention).prune()


CHECK_DISKS = Job(name="check-disks", run=_check_disks, every=timedelta(minutes=30), timeout=timedelta(minutes=10))
PRUNE = Job(name="prune", run=_prune, every=timedelta(hours=1))
