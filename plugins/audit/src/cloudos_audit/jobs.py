"""The daily jobs: verify, then apply the retention."""

from __future__ import annotations

from datetime import time, timedelta

from cloudos_sdk import Context, Job

from cloudos_audit.retention import AuditRetention
from cloudos_audit.tamper_monitor import TamperMonitor


async def _keep(ctx: Context) -> None:
    await ctx.use(TamperMonitor).verify()
    await ctx.use(AuditRetention).prune()


KEEP = Job(name="verify-and-prune", run=_keep, daily=time(3, 10), timeout=timedelta(hours=2))
