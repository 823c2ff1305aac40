"""The web interface: one page, its files, and what the plugins bring to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Health, Manifest, hookimpl
from cloudos_sdk.capabilities import PermissionCatalogue, PluginCatalogue
from cloudos_sdk.pages import UI, Page
from quart import Blueprint

from cloudos_ui.contributions import Contributions
from cloudos_ui.routes import routes
from cloudos_ui.shell import Shell

manifest = Manifest(
    title="Web interface",
    prefixes=("/ui", "/api/ui"),
    root=True,
    requires=(PermissionCatalogue, PluginCatalogue),
    ui=UI(
        assets="cloudos_ui.pages",
        pages=(
            Page(
                path="/plugins",
                title="Plugins",
                icon="puzzle",
                menu="settings",
                order=60,
                module="plugins.js",
                style="plugins.css",
                permission="plugins:read",
            ),
            Page(
                path="/operations",
                title="Activity",
                icon="pulse",
                menu="system",
                order=60,
                module="operations.js",
                permission="operations:read",
            ),
        ),
    ),
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the page, its files and the list of contributions."""
    return [routes]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Read the built files."""
    ctx.provide(Shell, await asyncio.to_thread(Shell.read))
    ctx.provide(Contributions, Contributions(ctx.use(PluginCatalogue), ctx.use(PermissionCatalogue), ctx.licence))
    yield


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Tell whether the interface was built."""
    shell = ctx.find(Shell)
    if shell is None or shell.built:
        return Health(True)
    return Health(False, "The web interface is not built; run `make ui` and start again.")
