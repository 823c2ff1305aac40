"""The reverse proxy: routes, domains, certificates and single sign-on, on Caddy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Health, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import Apps, Sessions
from quart import Blueprint

from cloudos_proxy.access_routes import access_routes
from cloudos_proxy.domain_routes import domain_routes
from cloudos_proxy.models import Base
from cloudos_proxy.routes import routes
from cloudos_proxy.settings import ProxySettings
from cloudos_proxy.takeover_routes import takeover_routes

manifest = Manifest(
    title="The reverse proxy",
    prefixes=("/api/proxy", "/api/domains", "/api/settings/proxy", "/api/auth/validate"),
    settings=ProxySettings,
    tables=Base,
    migrations="cloudos_proxy.migrations",
    permissions=(
        Permission("proxy:read", "See routes and upstreams", Role.VIEWER),
        Permission("proxy:write", "Change routes and apply them", Role.OPERATOR),
        Permission("domains:read", "See domains and their certificates", Role.VIEWER),
        Permission("domains:write", "Add, change and remove domains", Role.OPERATOR),
        Permission("web-ports:read", "See what holds the web ports", Role.ADMIN),
        Permission("web-ports:write", "Take the web ports from another server, and give them back", Role.ADMIN),
    ),
    uses=(Apps, Sessions),
    emits=(),
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of routes, domains, sign-in and takeover."""
    return [routes, domain_routes, access_routes, takeover_routes]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Keep Caddy serving what was applied."""
    yield


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Tell whether what was applied is served."""
    return Health(True)
