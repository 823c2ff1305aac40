"""Periodic work of the apps plugin."""

from __future__ import annotations

from datetime import time, timedelta

from cloudos_sdk import Context, Job

from cloudos_apps.templates.sources.service import TemplateSources


async def _refresh(ctx: Context) -> None:
    await ctx.use(TemplateSources).refresh_all()


REFRESH_TEMPLATES = Job(name="refresh-template-sources", daily=time(4, 0), run=_refresh, timeout=timedelta(minutes=15))
