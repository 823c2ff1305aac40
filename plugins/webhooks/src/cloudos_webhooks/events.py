"""Events of webhooks. A delivery is no event, because it would cause further deliveries."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class WebhookCreated(Event, type="webhook.created", audience="webhooks:read"):
    """A webhook was made."""

    host: str
    events: list[str]


@dataclass(frozen=True, kw_only=True)
class WebhookUpdated(Event, type="webhook.updated", audience="webhooks:read"):
    """A webhook was changed; `changed` names its fields."""

    host: str
    changed: list[str]


@dataclass(frozen=True, kw_only=True)
class WebhookDeleted(Event, type="webhook.deleted", audience="webhooks:read"):
    """A webhook was removed with its pending deliveries."""

    host: str


@dataclass(frozen=True, kw_only=True)
class WebhookFailing(Event, type="webhook.failing", audience="webhooks:read"):
    """An endpoint took nothing over all tries; nothing is sent to it until it is mended."""

    host: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class WebhookRecovered(Event, type="webhook.recovered", audience="webhooks:read"):
    """A failing endpoint accepted a delivery again; its pending deliveries follow."""

    host: str
