"""Jobs that delete expired rows."""

from __future__ import annotations

from datetime import time, timedelta

from cloudos_sdk import Context, Job

from cloudos_notes.storage.store import Store
from cloudos_notes.storage.versions import Versions
from cloudos_notes.vault.importer import Importer


async def _forget_versions(ctx: Context) -> None:
    await ctx.use(Versions).prune()


async def _empty_trash(ctx: Context) -> None:
    store = ctx.use(Store)
    await store.trash.prune()
    await store.forget_keys()
    await ctx.use(Importer).sweep()


FORGET_VERSIONS = Job(name="forget-versions", every=timedelta(hours=1), run=_forget_versions)
EMPTY_TRASH = Job(name="empty-trash", daily=time(3, 40), run=_empty_trash, timeout=timedelta(minutes=30))
