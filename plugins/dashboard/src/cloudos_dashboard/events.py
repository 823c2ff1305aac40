"""Events of dashboards."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class LayoutSaved(Event, type="dashboard.layout_saved", audience="dashboard:read"):
    """A dashboard's layout was saved; `restored` is the version that it was restored from, if any."""

    kind: str
    version: int
    restored: int | None = None
