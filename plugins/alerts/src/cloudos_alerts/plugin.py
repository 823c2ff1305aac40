"""Alerts: rules on metrics and events, and notification channels."""

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
from cloudos_alerts.evaluation.alert_writer import AlertWriter
from cloudos_alerts.evaluation.engine import RuleEvaluator
from cloudos_alerts.evaluation.evaluation_loop import EvaluationLoop
from cloudos_alerts.evaluation.event_counts import EventCounts
from cloudos_alerts.evaluation.history import AlertHistory
from cloudos_alerts.jobs import PRUNE
from cloudos_alerts.models import Base
from cloudos_alerts.notify.channels import ChannelService
from cloudos_alerts.notify.outbox import NotificationOutbox
from cloudos_alerts.pages import PAGES
from cloudos_alerts.rules.metric_catalog import MetricCatalog
from cloudos_alerts.service import RuleService
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
    ui=PAGES,
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
    outbox, catalogue = NotificationOutbox(ctx), MetricCatalog(ctx)
    occurrences = EventCounts(ctx)
    engine = RuleEvaluator(ctx, AlertWriter(ctx), occurrences, catalogue, outbox.wake)
    watching = EvaluationLoop(ctx, engine)
    await occurrences.load()
    await outbox.load()
    engine.load(*await stored_rules(ctx))
    ctx.provide(MetricCatalog, catalogue)
    ctx.provide(ChannelService, ChannelService(ctx, engine, outbox))
    ctx.provide(RuleEvaluator, engine)
    ctx.provide(AlertHistory, AlertHistory(ctx, engine, occurrences))
    ctx.provide(NotificationOutbox, outbox)
    ctx.provide(RuleService, RuleService(ctx, engine, catalogue))
    ctx.provide(EvaluationLoop, watching)
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
    """Check that rules are evaluated and notifications are delivered."""
    evaluated = ctx.use(EvaluationLoop).health()
    return evaluated if not evaluated.ok else ctx.use(NotificationOutbox).health()
