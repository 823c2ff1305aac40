"""Daily work of the alerts plugin."""

from __future__ import annotations

from datetime import time

from cloudos_sdk import Context, Job

from cloudos_alerts.evaluation.history import AlertHistory


async def _prune(ctx: Context) -> None:
    await ctx.use(AlertHistory).prune()


PRUNE = Job(name="prune-history", daily=time(3, 40), run=_prune)
