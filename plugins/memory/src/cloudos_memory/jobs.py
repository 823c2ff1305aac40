"""Daily work: forget the keys that are long gone, and the named writes of more than a week ago."""

from __future__ import annotations

from datetime import time

from cloudos_sdk import Context, Job

from cloudos_memory.keys.service import KeyService
from cloudos_memory.tools.idempotency import IdempotentCalls


async def _prune(ctx: Context) -> None:
    await ctx.use(KeyService).prune()
    await ctx.use(IdempotentCalls).prune()


PRUNE = Job(name="prune", run=_prune, daily=time(3, 40))
