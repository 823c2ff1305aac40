"""Installed apps and their addresses, for the proxy, backups, metrics and alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class AppAddress:
    """An installed app: id, name, status and, if it serves HTTP, `addr` as `host:port`."""

    id: str
    name: str
    status: str
    addr: str | None


class Apps(Protocol):
    """The installed apps, as others see them."""

    async def list_apps(self) -> Sequence[AppAddress]:
        """Return all installed apps, oldest first."""
        ...

    async def find_app(self, app_id: str) -> AppAddress | None:
        """Return one app, or None."""
        ...
