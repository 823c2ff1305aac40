"""The bodies and answers of the endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body
from pydantic import BaseModel, Field, StringConstraints

EventName = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+)$", max_length=100)]
Events = Annotated[list[EventName], Field(min_length=1, max_length=200)]
Url = Annotated[str, Field(max_length=2000)]
State = Literal["waiting", "retrying", "delivered", "failed"]


class NewWebhook(Body):
    """A new webhook: URL and event types; `["*"]` is all."""

    url: Url
    events: Events
    active: bool = True


class WebhookChange(Body):
    """A change of a webhook; omitted fields stay."""

    url: Url | None = None
    events: Events | None = None
    active: bool | None = None


class WebhookOut(BaseModel):
    """A webhook without its secret. `waiting` is how many deliveries are still to be made."""

    id: str
    url: str
    events: list[str]
    active: bool
    created_at: UtcTime
    updated_at: UtcTime
    status: Literal["healthy", "failing"]
    failing_since: UtcTime | None
    last_delivered_at: UtcTime | None
    waiting: int


class WebhookMade(WebhookOut):
    """A new webhook with its secret, which is never shown again."""

    secret: str


class Rotated(BaseModel):
    """The new secret, shown once; the one before signs too until `previous_until`."""

    id: str
    secret: str
    previous_until: UtcTime


class EventType(BaseModel):
    """An event type; `available` is whether an installed plugin may emit it."""

    type: str
    title: str
    available: bool


class Attempt(BaseModel):
    """One try: the status and the beginning of the answer, or why there was none."""

    number: int
    at: str
    duration_ms: int
    status: int | None
    excerpt: str
    error: str | None


class DeliveryOut(BaseModel):
    """One event for one webhook. The receiver sees `event_id` as `webhook-id`."""

    id: str
    event_id: str
    type: str
    state: State
    created_at: UtcTime
    next_attempt_at: UtcTime | None
    payload: dict[str, Any]
    attempts: list[Attempt]
