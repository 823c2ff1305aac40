"""Events, named in the past tense, for webhooks, alerts, the audit log and plugins.

An event is stored in the transaction of the change that caused it and dispatched after the commit, at least
once. Handlers are idempotent by `Envelope.id`. Whoever may read an event (`audience`) sees it on `/api/events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events: `class PeerAdded(Event, type="vpn.peer_added", audience="vpn:read")`.

    `resource` is the id of what it happened to; `details` one sentence for the audit log, without secrets.
    Fields must be JSON values. `audience` is the permission that lets one see it; `admin` is admins only.
    """

    type: ClassVar[str] = ""
    audience: ClassVar[str] = "admin"
    title: ClassVar[str] = ""

    resource: str
    details: str = ""

    def __init_subclass__(cls, *, type: str = "", audience: str = "admin", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = type
        cls.audience = audience
        cls.title = (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else type


@dataclass(frozen=True)
class Actor:
    """The actor of an event; `kind` is user, api_key, mcp_key or system."""

    kind: str
    id: str
    name: str
    address: str | None = None


@dataclass(frozen=True)
class Envelope:
    """An event as stored: `seq` is its place in the log, `data` the event's fields."""

    seq: int
    id: str
    type: str
    time: datetime
    actor: Actor
    resource: str
    details: str
    data: Mapping[str, Any]
    audience: str
    request_id: str | None = None


# Shared events: the ones of the contract that more than one plugin handles.


@dataclass(frozen=True, kw_only=True)
class AppInstalled(Event, type="app.installed", audience="apps:read"):
    """A new app was installed from a template."""

    name: str
    template: str


@dataclass(frozen=True, kw_only=True)
class AppInstallFailed(Event, type="app.install_failed", audience="apps:read"):
    """An installation failed; nothing of it is left."""

    name: str
    template: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class AppStarted(Event, type="app.started", audience="apps:read"):
    """An app was started."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AppStopped(Event, type="app.stopped", audience="apps:read"):
    """An app was stopped."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AppRestarted(Event, type="app.restarted", audience="apps:read"):
    """An app was restarted."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AppCrashed(Event, type="app.crashed", audience="apps:read"):
    """An app's container ended by itself; `logs` are its last lines."""

    name: str
    service: str
    exit_code: int
    logs: list[str]


@dataclass(frozen=True, kw_only=True)
class AppUpdated(Event, type="app.updated", audience="apps:read"):
    """An app's configuration or version was changed."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AppUninstalled(Event, type="app.uninstalled", audience="apps:read"):
    """An app was removed; `purged` is whether its volumes were deleted too."""

    name: str
    purged: bool


@dataclass(frozen=True, kw_only=True)
class UserLogin(Event, type="user.login"):
    """A user signed in."""

    username: str
    method: str


@dataclass(frozen=True, kw_only=True)
class UserLoginFailed(Event, type="user.login_failed"):
    """A sign-in failed."""

    username: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class LicenseChanged(Event, type="license.changed"):
    """The plan changed."""

    plan: str
    previous: str


@dataclass(frozen=True, kw_only=True)
class AlertFired(Event, type="alert.fired", audience="alerts:read"):
    """An alert's condition held for its whole duration."""

    rule: str
    severity: str
    metric: str
    value: float | None
    labels: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class AlertResolved(Event, type="alert.resolved", audience="alerts:read"):
    """An alert's condition no longer holds."""

    rule: str
    severity: str
    metric: str
    value: float | None
    labels: dict[str, str]
