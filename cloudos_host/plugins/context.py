"""The context that each plugin gets from the host."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cloudos_sdk import Unavailable

from cloudos_host.containment import Faults
from cloudos_host.data.database import Database
from cloudos_host.data.encryption import PluginSecrets
from cloudos_host.data.file_modes import MASK
from cloudos_host.data.outbox import PluginEvents
from cloudos_host.plugins.api_socket import ApiSocket
from cloudos_host.plugins.license import PlanLicense
from cloudos_host.tasks import PluginTasks

T = TypeVar("T")


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Capabilities:
    """The providers of each capability, in start order."""

    def __init__(self) -> None:
        self._providers: dict[type[Any], list[tuple[str, Any]]] = {}

    def add(self, plugin_id: str, capability: type[Any], implementation: Any) -> None:
        """Register a provider."""
        self._providers.setdefault(capability, []).append((plugin_id, implementation))

    def drop(self, plugin_id: str) -> None:
        """Forget all that a plugin provides."""
        for providers in self._providers.values():
            providers[:] = [entry for entry in providers if entry[0] != plugin_id]

    def all(self, capability: type[T]) -> list[T]:
        """Return all providers."""
        return [implementation for _, implementation in self._providers.get(capability, ())]

    def find(self, capability: type[T]) -> T | None:
        """Return the first provider, or None."""
        providers = self._providers.get(capability)
        return providers[0][1] if providers else None


@dataclass
class PluginContext:
    """The `ctx` of one plugin."""

    id: str
    settings: Any
    folder: Path
    log: Any
    db: Database
    events: PluginEvents
    licence: PlanLicense
    operations: Any
    tasks: PluginTasks
    secrets: PluginSecrets
    clock: Any
    capabilities: Capabilities
    provides: tuple[type[Any], ...] = field(default=())
    listener: ApiSocket = field(default_factory=ApiSocket)
    faults: Faults = field(default_factory=lambda: Faults(SystemClock()))

    @property
    def api_socket(self) -> Path | None:
        """The Unix socket on which the host serves its API too; None while it does not."""
        return self.listener.path

    @property
    def data_dir(self) -> Path:
        """Its folder, made at first use, mode 0700."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_mode & MASK:
            self.folder.chmod(0o700)
        return self.folder

    async def quiesce(self) -> None:
        """End the plugin's operations and event readers."""
        await self.operations.stop()
        await self.events.stop()

    async def release(self) -> None:
        """End the plugin's tasks and withdraw its capabilities."""
        await self.tasks.stop()
        self.capabilities.drop(self.id)

    def provide(self, capability: type[T], implementation: T) -> None:
        """Give an object under a capability of the manifest, or under its own class to the plugin's routes."""
        if capability.__module__.startswith("cloudos_sdk.") and capability not in self.provides:
            raise TypeError(f"{capability.__name__} is not in the manifest's `provides` of {self.id!r}")
        self.capabilities.add(self.id, capability, implementation)

    def use(self, capability: type[T]) -> T:
        """Return the first provider. Raises Unavailable if there is none."""
        found = self.capabilities.find(capability)
        if found is None:
            raise Unavailable(
                f"Nothing provides {capability.__name__} now; `cloudos plugins` shows which plugin is missing or down.",
                code="capability_unavailable",
                retry_after=5,
            )
        return found

    def find(self, capability: type[T]) -> T | None:
        """Return the first provider, or None."""
        return self.capabilities.find(capability)

    def all(self, capability: type[T]) -> list[T]:
        """Return all providers, in start order."""
        return self.capabilities.all(capability)
