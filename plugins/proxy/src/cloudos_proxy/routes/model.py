"""A route as it is stored and as it was applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

APEX_ID = "route_apex"
UI_ID = "quazzar-ui"


@dataclass(frozen=True, slots=True)
class RouteRow:
    """A row of the routes."""

    id: str
    kind: str
    hostname: str
    path_prefix: str
    upstream_type: str
    upstream_id: str | None
    upstream_addr: str | None
    require_auth: bool
    options: str
    secret_options: str
    app_id: str | None
    status: str
    error: str | None
    created_at: datetime
    updated_at: datetime
    by_admin: bool = False

    @property
    def face(self) -> tuple[Any, ...]:
        """The fields that affect Caddy's document; rows with equal faces are served alike."""
        return _face_of(self)

    @property
    def is_face(self) -> bool:
        """Whether people come to the node itself by it, or did."""
        return self.upstream_type == "ui" or self.kind == "apex"

    @property
    def target(self) -> tuple[str, str | None, str | None]:
        """The upstream of the route."""
        return self.upstream_type, self.upstream_id, self.upstream_addr


FACE = (
    "hostname",
    "path_prefix",
    "upstream_type",
    "upstream_id",
    "upstream_addr",
    "require_auth",
    "options",
    "secret_options",
)
_face_of: Callable[[RouteRow], tuple[Any, ...]] = attrgetter(*FACE)
COLUMNS = tuple(field.name for field in fields(RouteRow))
_TIMES = ("created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Served:
    """A route as it was applied; `dial` is its resolved upstream."""

    row: RouteRow
    dial: str

    def packed(self) -> tuple[Any, ...]:
        """Return it as JSON values: the columns in their order, and the dial. A thousand take a millisecond."""
        return (*values_of(self.row), self.dial)


values_of: Callable[[RouteRow], tuple[Any, ...]] = attrgetter(*COLUMNS)
"""The columns of a row, in their order."""


def unpacked(stored: Sequence[Any]) -> Served:
    """Parse what `packed` returned."""
    *columns, dial = stored  # a column that came later is missing in what was stored before it
    values = dict(zip(COLUMNS, columns, strict=False))
    values |= {name: datetime.fromisoformat(values[name]) for name in _TIMES}
    return Served(RouteRow(**values), dial)


def fields_changed(before: RouteRow, after: RouteRow) -> list[str]:
    """Return the names of the fields that differ, as in the API."""
    names = {"options": "options", "secret_options": "options"}
    return list(dict.fromkeys(names.get(name, name) for name in FACE if getattr(before, name) != getattr(after, name)))
