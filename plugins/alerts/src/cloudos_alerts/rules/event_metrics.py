"""Metrics made of events: `event.app.crashed` counts the newest crashes of each app.

The vocabulary is that of the contract and of every event class that the plugins of this node declare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloudos_sdk import Envelope, Event
from cloudos_sdk.capabilities import Metric

from cloudos_alerts.rules.conditions import Labels

PREFIX = "event."
_CONTRACT = (
    "app.installed",
    "app.started",
    "app.stopped",
    "app.crashed",
    "app.uninstalled",
    "app.updated",
    "backup.completed",
    "backup.failed",
    "backup.restored",
    "domain.added",
    "domain.removed",
    "certificate.issued",
    "certificate.failed",
    "route.applied",
    "vpn.peer_added",
    "vpn.peer_removed",
    "user.login",
    "user.login_failed",
    "security.scan_completed",
    "license.changed",
    "memory.created",
)
_OWN = "alert."
_ALLOWED_OWN = "alert.channel_failed"  # the others would feed themselves


@dataclass(frozen=True)
class EventEnd:
    """Which events end the matter of another; without one it ends by time."""

    by: tuple[str, ...]
    alone: bool
    """Only these end it, so that it lasts until one comes."""


ENDINGS = {
    "app.crashed": EventEnd(("app.uninstalled",), alone=False),
    "backup.failed": EventEnd(("backup.completed",), alone=True),
    "certificate.failed": EventEnd(("certificate.issued", "domain.removed"), alone=True),
    "alert.channel_failed": EventEnd(("alert.channel_recovered", "alert.channel_removed"), alone=True),
}
_ENDS: dict[str, list[str]] = {}
for _type, _ending in ENDINGS.items():
    for _by in _ending.by:
        _ENDS.setdefault(_by, []).append(_type)

_LABELS = {
    "app": ("app", ("name",)),
    "backup": ("target", ("target", "target_name")),
    "certificate": ("domain", ("domain",)),
    "domain": ("domain", ("domain", "name")),
}


def is_event(metric: str) -> bool:
    """Return whether a metric counts events."""
    return metric.startswith(PREFIX)


def metric_of(type: str) -> str:
    """Return the metric that counts events of a type."""
    return PREFIX + type


def ended_by(type: str) -> list[str]:
    """Return the types of events whose matter an event of `type` ends."""
    return _ENDS.get(type, [])


def lasts(metric: str) -> bool:
    """Return whether its events count until another event resolves them, instead of for a time."""
    ending = ENDINGS.get(metric.removeprefix(PREFIX))
    return ending is not None and ending.alone


def label_of(type: str) -> str:
    """Return the name of the one label of a type: `app`, `target`, `domain`, else `resource`."""
    return _LABELS.get(type.split(".", 1)[0], ("resource", ()))[0]


def labels_of(event: Envelope, type: str | None = None) -> Labels:
    """Return the labels of an event's resource for `type`, by default its own."""
    name, members = _LABELS.get((type or event.type).split(".", 1)[0], ("resource", ()))
    found = next((event.data[member] for member in members if event.data.get(member)), event.resource)
    return ((name, str(found)),)


def vocabulary() -> Mapping[str, Metric]:
    """Return the metrics of all event types."""
    types = dict.fromkeys(_CONTRACT, "") | {type.type: type.title for type in _declared(Event)}
    usable = {t: title for t, title in types.items() if t and (not t.startswith(_OWN) or t == _ALLOWED_OWN)}
    return {metric_of(t): Metric(metric_of(t), "events", title, (label_of(t),)) for t, title in sorted(usable.items())}


def _declared(base: type[Event]) -> Iterator[type[Event]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _declared(kind)
