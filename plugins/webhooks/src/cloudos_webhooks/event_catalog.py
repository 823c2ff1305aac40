"""The events that a webhook may ask for: those of the plugins that are loaded, and those that the product promises."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence

from cloudos_sdk import Event, InvalidRequest

ALL = "*"

PROMISED = {
    "backup.completed": "A backup was made.",
    "backup.failed": "A backup could not be made.",
    "backup.restored": "A backup was restored.",
    "domain.added": "A domain was added.",
    "domain.removed": "A domain was removed.",
    "certificate.issued": "A certificate was issued.",
    "certificate.failed": "A certificate could not be had.",
    "route.applied": "A route is in force.",
    "vpn.peer_added": "A VPN peer was added.",
    "vpn.peer_removed": "A VPN peer was removed.",
    "security.scan_completed": "A security scan was completed.",
    "memory.created": "A memory was written.",
}
"""Events of plugins that may be left out: one can ask for them before the plugin is there."""


def event_types() -> dict[str, tuple[str, bool]]:
    """Return title and availability of each event type: whether a loaded plugin may emit it."""
    found = {type: (title, False) for type, title in PROMISED.items()}
    found |= {event.type: (event.title, True) for event in _classes(Event) if event.type}
    return dict(sorted(found.items()))


def check(events: Sequence[str], known_before: Collection[str] = ()) -> list[str]:
    """Return the types in order and once each. Raises InvalidRequest that names the nearest to one that is unknown."""
    known = event_types()
    for number, type in enumerate(events):
        if type != ALL and type not in known and type not in known_before:
            near = difflib.get_close_matches(type, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "GET /api/webhooks/event-types lists them"
            raise InvalidRequest.field(f"events.{number}", f"there is no event {type!r}; {hint}")
    return list(dict.fromkeys(events))


def _classes(base: type[Event]) -> Iterator[type[Event]]:
    for event in base.__subclasses__():
        yield event
        yield from _classes(event)
