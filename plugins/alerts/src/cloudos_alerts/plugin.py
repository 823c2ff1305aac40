"""Alerts: rules on what is measured and on what happens, and the channels that tell people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Health, Job, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import Apps, Metrics
from cloudos_sdk.events import AlertFired, AlertResolved
from quart import Blueprint

from cloudos_alerts import events
from cloudos_alerts.api.alerts import routes
from cloudos_alerts.api.channels import channel_routes
from cloudos_alerts.evaluation.alert_writer import Ledger
from cloudos_alerts.evaluation.engine import Engine
from cloudos_alerts.evaluation.evaluation_loop import Watching
from cloudos_alerts.evaluation.event_counts import Occurrences
from cloudos_alerts.evaluation.history import History
from cloudos_alerts.jobs import PRUNE
from cloudos_alerts.models import Base
from cloudos_alerts.notify.channels import Channels
from cloudos_alerts.notify.outbox import Outbox
from cloudos_alerts.rules.metric_catalog import Catalogue
from cloudos_alerts.service import Rules
from cloudos_alerts.settings import AlertsSettings
from cloudos_alerts.startup import make_first_rules, stored_rules

manifest = Manifest(
    title="Alerts",
    prefixes=("/api/alerts",),
    settings=AlertsSettings,
    tables=Base,
    migrations="cloudos_alerts.migrations",
    permissions=(
        Permission("alerts:read", "See alerts, rules and channels", Role.VIEWER),
        Permission("alerts:write", "Make, change and silence alert rules, acknowledge alerts", Role.OPERATOR),
        Permission("alert-channels:write", "Add, change, try and remove notification channels", Role.ADMIN),
    ),
    uses=(Apps, Metrics),
    emits=(AlertFired, AlertResolved, *events.ALL),
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of alerts, rules and channels."""
    return [routes, channel_routes]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the daily pruning of the history."""
    return [PRUNE]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Take up the states as they were, evaluate and send. There need be no metrics."""
    await make_first_rules(ctx)
    outbox, catalogue = Outbox(ctx), Catalogue(ctx)
    occurrences = Occurrences(ctx)
    engine = Engine(ctx, Ledger(ctx), occurrences, catalogue, outbox.wake)
    watching = Watching(ctx, engine)
    await occurrences.load()
    await outbox.load()
    engine.load(*await stored_rules(ctx))
    ctx.provide(Catalogue, catalogue)
    ctx.provide(Channels, Channels(ctx, engine, outbox))
    ctx.provide(Engine, engine)
    ctx.provide(History, History(ctx, engine, occurrences))
    ctx.provide(Outbox, outbox)
    ctx.provide(Rules, Rules(ctx, engine, catalogue))
    ctx.provide(Watching, watching)
    occurrences.on_change(watching.events_changed)
    ctx.events.subscribe(occurrences.handle, "*", name="metrics")
    tasks = [
        ctx.tasks.start("evaluation", watching.run),
        ctx.tasks.start("outbox", outbox.run),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.close()


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Tell whether rules are evaluated and notifications arrive."""
    evaluated = ctx.use(Watching).health()
    return evaluated if not evaluated.ok else ctx.use(Outbox).health()
