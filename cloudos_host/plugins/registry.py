"""The records of plugins, and the owners of paths."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from types import ModuleType
from typing import Any

from cloudos_sdk import Health, Job, Manifest, Mount

from cloudos_host.containment import sentence_of
from cloudos_host.plugins.discovery import DiscoveredPlugin


class BootPhase(StrEnum):
    """The phases of a boot, in their order."""

    DISCOVER = "discover"
    IMPORT = "import"
    VALIDATE = "validate"
    ORDER = "order"
    MIGRATE = "migrate"
    START = "start"
    SERVE = "serve"


class PluginState(StrEnum):
    """How a plugin is."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    DISABLED = "disabled"
    STOPPED = "stopped"


@dataclass
class PluginRecord:
    """One plugin: its phase, its state and the reason for it."""

    found: DiscoveredPlugin
    state: PluginState = PluginState.PENDING
    phase: BootPhase = BootPhase.DISCOVER
    reason: str | None = None
    module: ModuleType | None = None
    manifest: Manifest | None = None
    settings: Any = None
    context: Any = None
    blueprints: list[Any] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    prefixes: tuple[str, ...] = ()
    health: Health = field(default_factory=lambda: Health(True))
    blamed: bool = False
    """Whether it is disabled because the host died in its start."""
    runner: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The plugin's id."""
        return self.found.id

    @property
    def alive(self) -> bool:
        """Whether it is still on its way up, or up."""
        return self.state in (PluginState.PENDING, PluginState.RUNNING, PluginState.WAITING)

    def fail(self, phase: BootPhase, reason: object) -> None:
        """Stop here, with the reason."""
        self.state, self.phase, self.reason = PluginState.FAILED, phase, _sentence(reason)

    def public(self) -> dict[str, Any]:
        """Return the entry of `GET /api/plugins`."""
        return {
            "id": self.id,
            "title": self.manifest.title if self.manifest else self.id,
            "version": self.found.version,
            "distribution": self.found.distribution,
            "state": self.state.value,
            "phase": self.phase.value,
            "reason": self.reason,
            "health": {"ok": self.health.ok, "detail": self.health.detail},
            "prefixes": list(self.prefixes),
        }


def _sentence(reason: object) -> str:
    return sentence_of(reason) if isinstance(reason, BaseException) else str(reason)


def covers(prefix: str, path: str) -> bool:
    """Return whether `path` is `prefix` or below it."""
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def owner(records: Iterable[PluginRecord], path: str) -> PluginRecord | None:
    """Return the plugin with the longest prefix of `path`; of two, the one that is not out of service."""
    claims = [(len(p), record.alive, record) for record in records for p in record.prefixes if covers(p, path)]
    return max(claims, key=lambda claim: claim[:2])[2] if claims else None
