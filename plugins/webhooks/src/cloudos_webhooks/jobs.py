"""The daily job that deletes old deliveries."""

from __future__ import annotations

from datetime import time, timedelta

from cloudos_sdk import Context, Job

from cloudos_webhooks.delivery.store import Deliveries


async def _prune(ctx: Context) -> None:
    deliveries = ctx.use(Deliveries)
    await deliveries.prune(ctx.clock.now() - timedelta(days=ctx.settings.retention_days))
    await deliveries.forget()


PRUNE = Job(name="prune-deliveries", run=_prune, daily=time(3, 50), timeout=timedelta(hours=1))
