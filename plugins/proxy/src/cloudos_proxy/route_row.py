"""A route as it is stored and as it was applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
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

    @property
    def face(self) -> tuple[Any, ...]:
        """What of it shows in what is served: two rows with one face differ in nothing that matters to Caddy."""
        return tuple(getattr(self, name) for name in FACE)

    @property
    def target(self) -> tuple[str, str | None, str | None]:
        """Where it leads."""
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
COLUMNS = tuple(field.name for field in fields(RouteRow))
_TIMES = ("created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Served:
    """A route as it was applied; `dial` is where it led."""

    row: RouteRow
    dial: str

    def packed(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self.row), "dial": self.dial}


def unpacked(stored: Mapping[str, Any]) -> Served:
    """Return what `packed` gave."""
    values = {name: stored[name] for name in COLUMNS}
    values |= {name: datetime.fromisoformat(stored[name]) for name in _TIMES}
    return Served(RouteRow(**values), stored["dial"])
