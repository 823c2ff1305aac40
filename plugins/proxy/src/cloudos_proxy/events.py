"""Events of routes."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class RouteCreated(Event, type="route.created", audience="proxy:read"):
    """A route was made; it is served once it is applied."""

    hostname: str


@dataclass(frozen=True, kw_only=True)
class RouteUpdated(Event, type="route.updated", audience="proxy:read"):
    """A route was changed; the change is served once it is applied."""

    hostname: str
    fields: list[str]


@dataclass(frozen=True, kw_only=True)
class RouteDeleted(Event, type="route.deleted", audience="proxy:read"):
    """A route was deleted; it is served until the next apply."""

    hostname: str


@dataclass(frozen=True, kw_only=True)
class RouteApplied(Event, type="route.applied", audience="proxy:read"):
    """Staged routes were applied; `resource` is the applied configuration."""

    applied: int
    unchanged: int
    hostnames: list[str]


@dataclass(frozen=True, kw_only=True)
class RouteApplyFailed(Event, type="route.apply_failed", audience="proxy:read"):
    """Staged routes were rejected; the previous configuration stays in force."""

    reason: str
    hostnames: list[str]


@dataclass(frozen=True, kw_only=True)
class RouteRefused(Event, type="route.refused", audience="proxy:read"):
    """An upstream name now resolves to a forbidden address, which is not dialled."""

    hostname: str
    reason: str


EVENTS: tuple[type[Event], ...] = (
    RouteCreated,
    RouteUpdated,
    RouteDeleted,
    RouteApplied,
    RouteApplyFailed,
    RouteRefused,
)
