"""Webhooks: every event, signed, to subscribed endpoints, at least once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from cloudos_sdk import Context, Health, Job, Manifest, Permission, Role, hookimpl
from quart import Blueprint

from cloudos_webhooks.delivery.attempt_results import AttemptResults
from cloudos_webhooks.delivery.event_consumer import EventConsumer
from cloudos_webhooks.delivery.manual_delivery import ManualDelivery
from cloudos_webhooks.delivery.queues import DeliveryQueues
from cloudos_webhooks.delivery.sender import LONGEST_WAIT, Sender
from cloudos_webhooks.delivery.store import Deliveries
from cloudos_webhooks.events import WebhookCreated, WebhookDeleted, WebhookFailing, WebhookRecovered, WebhookUpdated
from cloudos_webhooks.jobs import PRUNE
from cloudos_webhooks.models import Base
from cloudos_webhooks.pages import PAGES
from cloudos_webhooks.routes import routes
from cloudos_webhooks.service import Webhooks
from cloudos_webhooks.settings import WebhooksSettings
from cloudos_webhooks.subscription_cache import SubscriptionCache

manifest = Manifest(
    title="Webhooks",
    prefixes=("/api/webhooks",),
    settings=WebhooksSettings,
    tables=Base,
    migrations="cloudos_webhooks.migrations",
    permissions=(
        Permission("webhooks:read", "See webhooks and what was sent to them", Role.ADMIN),
        Permission("webhooks:write", "Make, change, test and remove webhooks", Role.ADMIN),
    ),
    emits=(WebhookCreated, WebhookUpdated, WebhookDeleted, WebhookFailing, WebhookRecovered),
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the webhook endpoints."""
    return [routes]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the daily end of old deliveries."""
    return [PRUNE]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Continue pending deliveries and read events while the plugin runs."""
    longest = timedelta(seconds=max([LONGEST_WAIT, *(1.1 * wait for wait in ctx.settings.retry_seconds)]))
    directory, deliveries, sender = SubscriptionCache(ctx), Deliveries(ctx.db, longest), Sender(ctx.settings)
    await directory.load()
    await deliveries.open()
    bookkeeper = AttemptResults(ctx, directory, deliveries)
    dispatcher = DeliveryQueues(ctx, directory, deliveries, sender, bookkeeper)
    intake = EventConsumer(ctx, directory, deliveries, dispatcher)
    webhooks = Webhooks(ctx, directory, deliveries, sender, dispatcher)
    ctx.provide(Sender, sender)
    ctx.provide(AttemptResults, bookkeeper)
    ctx.provide(EventConsumer, intake)
    ctx.provide(Deliveries, deliveries)
    ctx.provide(Webhooks, webhooks)
    ctx.provide(ManualDelivery, ManualDelivery(ctx, directory, deliveries, sender, bookkeeper))
    dispatcher.start()
    ctx.events.subscribe_batches(intake.handle, "*", name="deliveries")
    try:
        yield
    finally:
        await dispatcher.stop()
        await webhooks.close()
        await sender.close()


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Check that events become deliveries, and name failing endpoints."""
    trouble = ctx.use(EventConsumer).trouble or ctx.use(AttemptResults).trouble
    if trouble is not None:
        return Health(False, trouble)
    failing = [hook.url for hook in await ctx.use(Webhooks).listed() if hook.status == "failing"]
    return Health(True, f"{len(failing)} endpoints are failing" if failing else "")
