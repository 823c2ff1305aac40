"""Apps: containers of a Docker Engine, installed from templates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cloudos_sdk import Component, Context, Health, Job, Manifest, Permission, Role, hookimpl, new_id
from cloudos_sdk.capabilities import AppData, Apps, MetricSource, Users
from cloudos_sdk.events import (
    AppCrashed,
    AppInstalled,
    AppInstallFailed,
    AppRestarted,
    AppStarted,
    AppStopped,
    AppUninstalled,
    AppUpdated,
)
from quart import Blueprint

from cloudos_apps.api.apps import routes
from cloudos_apps.api.sources import source_routes
from cloudos_apps.api.templates import template_routes
from cloudos_apps.app_data.holds import Holds
from cloudos_apps.app_data.provider import DataProvider
from cloudos_apps.consent.host_paths import HostPaths
from cloudos_apps.consent.service import ConsentService
from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.events import (
    AppRightsAllowed,
    AppUpdateFailed,
    TemplateSourceAdded,
    TemplateSourceRefreshed,
    TemplateSourceRemoved,
)
from cloudos_apps.jobs import REFRESH_TEMPLATES
from cloudos_apps.lifecycle.containers import Containers
from cloudos_apps.lifecycle.operations import AppOperations
from cloudos_apps.lifecycle.relocation import Relocation
from cloudos_apps.lifecycle.secret_files import SecretFiles
from cloudos_apps.lifecycle.service import AppService
from cloudos_apps.models import Base
from cloudos_apps.monitoring.container_events import ContainerEvents
from cloudos_apps.monitoring.engine_events import EngineEvents
from cloudos_apps.monitoring.logs import LogReader
from cloudos_apps.monitoring.metrics import AppMetrics
from cloudos_apps.monitoring.reconciler import Reconciler
from cloudos_apps.monitoring.stats import UsageReader
from cloudos_apps.pages import PAGES
from cloudos_apps.settings import AppsSettings
from cloudos_apps.store import AppStore
from cloudos_apps.templates.catalog import TemplateCatalog
from cloudos_apps.templates.sources.service import TemplateSources


def _probe(settings: Any) -> str:
    client = DockerEngine(settings.docker_host, "").connect(timeout=5)
    try:
        return f"Docker Engine {client.version()['Version']} at {settings.docker_host}"
    finally:
        client.close()


manifest = Manifest(
    title="Apps",
    prefixes=("/api/apps", "/api/templates"),
    settings=AppsSettings,
    tables=Base,
    migrations="cloudos_apps.migrations",
    permissions=(
        Permission("apps:read", "See apps, their logs and what they use", Role.VIEWER),
        Permission("apps:write", "Install, start, stop, change and remove apps", Role.OPERATOR),
        Permission("templates:write", "Add and remove catalogues of templates", Role.ADMIN),
    ),
    components=(Component("Docker Engine", _probe, "apt-get install docker.io"),),
    provides=(Apps, AppData, MetricSource),
    uses=(Users,),
    emits=(
        AppInstalled,
        AppInstallFailed,
        AppStarted,
        AppStopped,
        AppRestarted,
        AppCrashed,
        AppUpdated,
        AppUpdateFailed,
        AppUninstalled,
        AppRightsAllowed,
        TemplateSourceAdded,
        TemplateSourceRefreshed,
        TemplateSourceRemoved,
    ),
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of apps and templates."""
    return [routes, source_routes, template_routes]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the daily look at the added catalogues."""
    return [REFRESH_TEMPLATES]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Follow the engine and resume interrupted work. Starts even if the engine is unavailable."""
    engine = DockerEngine(ctx.settings.docker_host, _node(ctx))
    store, catalogue = AppStore(ctx), TemplateCatalog(ctx.data_dir / "templates", ctx.log)
    sources = TemplateSources(ctx, catalogue)
    await sources.load()
    files = ctx.settings.data_folder or ctx.data_dir / "files"
    paths = HostPaths(files, ctx.settings.docker_host, ctx.data_dir.parent)
    secrets = SecretFiles(ctx.data_dir / "secrets", local=ctx.settings.docker_host.startswith("unix:"))
    containers, consent = Containers(engine, ctx.settings, paths, secrets), ConsentService(ctx, paths)
    await consent.fill_in(catalogue)
    installer = AppOperations(ctx, store, containers, consent)
    metrics = AppMetrics(engine)
    service = AppService(ctx, store, containers, consent, installer, catalogue)
    following = ContainerEvents(engine, store)
    observer = LogReader(engine, store)
    usage = UsageReader(engine, store, metrics.sampled)
    relocation = Relocation(ctx, store, containers)
    holds = Holds(ctx, store, containers, consent)
    reconciler = Reconciler(ctx.log, containers, store, service, following, relocation, holds)
    watcher = EngineEvents(ctx, engine, following, reconciler)
    ctx.provide(AppStore, store)
    ctx.provide(ConsentService, consent)
    ctx.provide(Apps, store)
    ctx.provide(AppData, DataProvider(ctx, store, containers, consent, holds))
    ctx.provide(MetricSource, metrics)
    ctx.provide(TemplateCatalog, catalogue)
    ctx.provide(TemplateSources, sources)
    ctx.provide(AppService, service)
    ctx.provide(LogReader, observer)
    ctx.provide(UsageReader, usage)
    ctx.provide(EngineEvents, watcher)
    installer.register()
    watching = ctx.tasks.start("events of the engine", watcher.run)
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await service.close()
        observer.close()
        await usage.close()
        metrics.close()
        engine.close()


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Check that the engine's events are followed."""
    trouble = await ctx.use(EngineEvents).trouble()
    return Health(trouble is None, trouble or "")


def _node(ctx: Context) -> str:
    """Return the name by which this node's containers are known on an engine that others may use too."""
    path = ctx.data_dir / "node"
    if not path.exists():
        path.write_text(new_id("node"))
    return path.read_text().strip()
