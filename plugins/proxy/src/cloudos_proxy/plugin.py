"""The reverse proxy: routes, domains, certificates and single sign-on, on Caddy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Health, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import Apps, Authenticator, MetricSource, OwnProxy, Sessions, Users
from quart import Blueprint

from cloudos_proxy.api.domains import domain_routes
from cloudos_proxy.api.ports import takeover_routes
from cloudos_proxy.api.routes import routes
from cloudos_proxy.api.sign_in import access_routes
from cloudos_proxy.apply.applier import Applier
from cloudos_proxy.apply.automatic_routes import AppRoutes
from cloudos_proxy.apply.config_builder import ConfigBuilder, wanted_sockets
from cloudos_proxy.apply.history import ApplyHistory
from cloudos_proxy.apply.loader import Loader
from cloudos_proxy.apply.narrowed_routes import NarrowedRoutes
from cloudos_proxy.apply.recorder import AppliedStore
from cloudos_proxy.apply.startup import ProxyStartup
from cloudos_proxy.caddy.admin_api import Caddy
from cloudos_proxy.caddy.name_server import NameServer
from cloudos_proxy.caddy.open_visits import OpenVisits
from cloudos_proxy.caddy.own_address import OwnAddress
from cloudos_proxy.caddy.proxy_key import ProxyKey
from cloudos_proxy.caddy.runner import CaddyRunner
from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.domains.certificate_expiry import CertificateExpiry
from cloudos_proxy.domains.certificate_monitor import CertificateMonitor
from cloudos_proxy.domains.events import DOMAIN_EVENTS
from cloudos_proxy.domains.issuer_policy import IssuerPolicy
from cloudos_proxy.domains.service import DomainService
from cloudos_proxy.domains.store import DomainStore
from cloudos_proxy.domains.tls_config import DomainTlsConfig
from cloudos_proxy.domains.wildcards import WildcardPolicy
from cloudos_proxy.events import EVENTS
from cloudos_proxy.hostnames import normalise
from cloudos_proxy.models import Base
from cloudos_proxy.pages import PAGES
from cloudos_proxy.ports.coexist import Coexistence
from cloudos_proxy.ports.process_control import Systemd
from cloudos_proxy.ports.takeover import TakeoverService
from cloudos_proxy.routes.node_names import NodeNames
from cloudos_proxy.routes.service import RouteService
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.routes.upstream_names import UpstreamNames
from cloudos_proxy.routes.upstream_resolver import Resolver
from cloudos_proxy.settings import ProxySettings
from cloudos_proxy.sign_in.addresses import SignInAddresses
from cloudos_proxy.sign_in.auth_socket import AuthSocket
from cloudos_proxy.sign_in.forward_auth import ForwardAuth
from cloudos_proxy.sign_in.session_handoff import SessionHandoff

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
    uses=(Apps, Authenticator, Sessions, Users),
    provides=(OwnProxy, MetricSource),
    emits=(*EVENTS, *DOMAIN_EVENTS),
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of routes, domains, sign-in and takeover."""
    return [routes, domain_routes, access_routes, takeover_routes]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Keep Caddy serving the applied configuration. Starts even if Caddy or its ports are unavailable."""
    settings: ProxySettings = ctx.settings
    base_domain = normalise(settings.base_domain) if settings.base_domain else None
    own = OwnAddress(settings.api_addr)
    own.not_ours = frozenset(socket.port for socket in wanted_sockets(settings))
    if settings.admin_address is not None:
        door = CaddySupervisor(ctx, None, Caddy(settings.admin_address))
    else:
        sockets = wanted_sockets(settings)
        keep, drain = settings.keep_running, settings.drain_seconds
        program, folder = settings.caddy_program, ctx.data_dir
        runner = CaddyRunner(
            program, folder, ctx.log, sockets, outlives_us=keep, drain_seconds=drain, lossless=settings.lossless_reload
        )
        door = CaddySupervisor(ctx, runner)
    store, history = RouteStore(ctx), ApplyHistory(ctx)
    names = NodeNames(settings, base_domain, lambda: store.faces, lambda: ctx.find(Users))
    resolver = Resolver(ctx, own, names)
    domain_store = DomainStore(ctx)
    parts = DomainTlsConfig(ctx, domain_store, names)
    hand_over = SessionHandoff(ctx.secrets, ctx.clock)
    places = SignInAddresses(settings, own, lambda name: applier.gated(name), store.ui_hostname, parts.is_plain)
    visits = OpenVisits(ctx, door.hang_up, door.visitors)
    access = ForwardAuth(ctx, hand_over, places.node_url, visits.note)
    gate = AuthSocket(ctx.data_dir / "gate.sock", access.judge_known, access.judge, ctx.log)
    proxy_key = ProxyKey(ctx.secrets)
    ours = settings.admin_address is None
    upstream_names = UpstreamNames(ctx, store, resolver)
    name_socket = NameServer(ctx.data_dir / "names.sock", upstream_names.find, ctx.log)
    configurator = ConfigBuilder(
        ctx,
        parts.parts,
        lambda: gate.dial if ours and settings.auth_socket else None,
        lambda: name_socket.dial if ours else None,
        resolver.pinned,
        proxy_key.text,
        lambda: door.ends_connections,
    )
    applied = AppliedStore(ctx, store, history)
    loader = Loader(settings, door, resolver.probe)
    narrowing = NarrowedRoutes(ctx, visits, door, resolver, settings.drain_seconds)
    applier = Applier(store, history, applied, resolver, configurator, door, loader, names, narrowing.follow)
    app_routes = AppRoutes(ctx, base_domain, store, resolver, names, domain_store)
    keeping = ProxyStartup(ctx, door, applier, own, app_routes)
    wildcards = WildcardPolicy(settings, door, domain_store)
    ctx.provide(OwnProxy, proxy_key)
    ctx.provide(CaddySupervisor, door)
    ctx.provide(OwnAddress, own)
    ctx.provide(RouteStore, store)
    ctx.provide(ApplyHistory, history)
    ctx.provide(Resolver, resolver)
    ctx.provide(Applier, applier)
    ctx.provide(ProxyStartup, keeping)
    ctx.provide(RouteService, RouteService(ctx, store, resolver, door, wildcards, names))
    watch = CertificateMonitor(ctx, domain_store, parts, store, applier.refresh)
    domains = DomainService(
        ctx, domain_store, watch, applier.refresh, IssuerPolicy(ctx, door.modules), lambda: door.trouble, names
    )
    ctx.provide(SessionHandoff, hand_over)
    ctx.provide(SignInAddresses, places)
    ctx.provide(ForwardAuth, access)
    ctx.provide(OpenVisits, visits)
    ctx.provide(DomainService, domains)
    ctx.provide(MetricSource, CertificateExpiry(domain_store, ctx.clock))
    ctx.provide(TakeoverService, TakeoverService(ctx, door, Systemd()))
    ctx.provide(Coexistence, Coexistence(ctx))
    await gate.start()
    await name_socket.start()
    watching = ctx.tasks.start("certificates", watch.run)
    await store.load()
    await app_routes.keep_apex()
    await app_routes.follow(applier)
    keeping.start()
    visits.start(access.still_holds)
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        watch.close()
        await narrowing.stop()
        await visits.stop()
        await gate.stop()
        await keeping.stop()
        await name_socket.stop()
        await upstream_names.stop()


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Check that the applied configuration is served."""
    return await ctx.use(ProxyStartup).health()
