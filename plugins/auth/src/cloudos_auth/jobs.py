"""Periodic work of the sign-in."""

from __future__ import annotations

from datetime import timedelta

from cloudos_sdk import Context, Job

from cloudos_auth.service import Accounts


async def _purge(ctx: Context) -> None:
    await ctx.use(Accounts).purge_expired()


PURGE = Job(name="purge-expired-sessions", every=timedelta(hours=1), run=_purge)
