"""Events that only this plugin knows."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class AppUpdateFailed(Event, type="app.update_failed", audience="apps:read"):
    """An update did not come up; the app runs as it was before."""

    name: str
    reason: str
