"""Daily work: old rows come to their end."""

from __future__ import annotations

from datetime import time, timedelta

from cloudos_sdk import Context, Job

from cloudos_backups.restore.store import RestoreStore
from cloudos_backups.snapshots.store import BackupStore


async def _forget(ctx: Context) -> None:
    before = ctx.clock.now() - timedelta(days=ctx.settings.history_days)
    await ctx.use(BackupStore).forget_old(before)
    await ctx.use(RestoreStore).forget_old(before)


FORGET = Job(name="forget-old-rows", run=_forget, daily=time(4, 10))
