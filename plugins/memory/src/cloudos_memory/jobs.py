"""Daily work: forget the keys that are long gone."""

from __future__ import annotations

from datetime import time

from cloudos_sdk import Context, Job

from cloudos_memory.keys import Keys


async def _prune(ctx: Context) -> None:
    await ctx.use(Keys).prune()


PRUNE_KEYS = Job(name="prune-keys", run=_prune, daily=time(3, 40))
