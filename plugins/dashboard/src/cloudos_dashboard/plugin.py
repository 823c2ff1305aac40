"""Dashboards: each person's layouts, kept on the node and versioned."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Manifest, Permission, Role, hookimpl
from quart import Blueprint

from cloudos_dashboard.events import LayoutSaved
from cloudos_dashboard.models import Base
from cloudos_dashboard.routes import routes
from cloudos_dashboard.service import Dashboards

manifest = Manifest(
    title="Dashboards",
    prefixes=("/api/profile/dashboard",),
    tables=Base,
    migrations="cloudos_dashboard.migrations",
    permissions=(
        Permission("dashboard:read", "See one's own dashboards", Role.VIEWER),
        Permission("dashboard:write", "Arrange one's own dashboards", Role.OPERATOR),
    ),
    emits=(LayoutSaved,),
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the dashboard endpoints."""
    return [routes]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Keep layouts, and forget those of deleted users."""
    dashboards = Dashboards(ctx)
    ctx.provide(Dashboards, dashboards)
    ctx.events.subscribe(dashboards.forget, "user.deleted", name="forget-users")
    yield
