"""Current resource usage of an app, summed over its containers (reference, "Get App Stats")."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson
from cloudos_sdk import CloudOSError

from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.engine.specs import ContainerState
from cloudos_apps.schemas import Stats
from cloudos_apps.store import AppStore

_MB = 2**20
_APART = 0.3  # seconds between the two samples that a share needs
_FRESH = 30.0  # seconds for which an earlier sample does as the first of them, and disk usage is not counted again


Sampled = Callable[[str], tuple[float, Mapping[str, Any]] | None]
"""Returns when a container was sampled for the metrics last, and what it said."""


class UsageReader:
    """Reads the usage of apps. CPU shares are the mean since the previous sample of the metrics or a request."""

    def __init__(self, engine: DockerEngine, store: AppStore, sampled: Sampled | None = None) -> None:
        self._engine = engine
        self._store = store
        self._sampled = sampled or (lambda container: None)
        self._samples: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._disk: tuple[float, Mapping[str, int], Mapping[str, int]] | None = None
        self._counting = asyncio.Lock()
        self._again: asyncio.Task[None] | None = None

    async def read(self, app_id: str) -> Stats:
        """Return an app's usage; only disk space if it does not run. Raises NotFound."""
        app = await self._store.get(app_id)
        states = [state for state in await self._engine.states(app_id) if state.generation == app.generation]
        running = [state for state in states if state.status == "running"]
        pairs = await asyncio.gather(*(self._pair(state) for state in running))
        containers, volumes = await self._counted()
        disk = sum(containers.get(state.id, 0) for state in states)
        disk += sum(volumes.get(name, 0) for name in orjson.loads(app.volumes))
        samples = [now for _, now in pairs]
        networks = [network for sample in samples for network in (sample.get("networks") or {}).values()]
        return Stats(
            app_id=app_id,
            cpu_percent=round(sum(cpu_percent(before, now) for before, now in pairs), 2),
            memory_usage_mb=math.ceil(sum(memory(sample["memory_stats"]) for sample in samples) / _MB),
            memory_limit_mb=sum(sample["memory_stats"].get("limit", 0) for sample in samples) // _MB,
            network_rx_bytes=sum(network["rx_bytes"] for network in networks),
            network_tx_bytes=sum(network["tx_bytes"] for network in networks),
            disk_usage_mb=math.ceil(disk / _MB),
        )

    async def _pair(self, state: ContainerState) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return an earlier sample of a container and one of now."""
        taken, before = self._samples.get(state.id) or self._sampled(state.id) or (0.0, {})
        age = time.monotonic() - taken
        if not before or age > _FRESH:
            taken, before = time.monotonic(), await self._engine.usage(state.id)
            age = 0.0
        if age < _APART:
            await asyncio.sleep(_APART - age)
        now = await self._engine.usage(state.id)
        self._samples = {id: kept for id, kept in self._samples.items() if time.monotonic() - kept[0] < _FRESH}
        self._samples[state.id] = (time.monotonic(), now)
        return before, now

    async def _counted(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Return the last disk usage; if stale, count it again in the background."""
        if self._disk is None:
            return await self._count()
        if time.monotonic() - self._disk[0] > _FRESH and (self._again is None or self._again.done()):
            self._again = asyncio.create_task(self._count_again(), name="apps:disk-usage")
        return self._disk[1:]

    async def _count(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        async with self._counting:
            if self._disk is None or time.monotonic() - self._disk[0] > _FRESH:
                self._disk = (time.monotonic(), *await self._engine.disk_usage())
            return self._disk[1:]

    async def _count_again(self) -> None:
        with suppress(CloudOSError):  # whoever asks next tries again
            await self._count()

    async def close(self) -> None:
        """End the count that is under way."""
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)


def cpu_percent(before: Mapping[str, Any], now: Mapping[str, Any]) -> float:
    """Return a container's CPU usage between two samples, in percent of one core."""
    earlier, later = before["cpu_stats"], now["cpu_stats"]
    used = later["cpu_usage"]["total_usage"] - earlier["cpu_usage"]["total_usage"]
    passed = later.get("system_cpu_usage", 0) - earlier.get("system_cpu_usage", 0)
    cores = later.get("online_cpus") or len(later["cpu_usage"].get("percpu_usage") or [1])
    return max(0.0, used / passed * cores * 100.0) if passed > 0 else 0.0


def memory(stats: Mapping[str, Any]) -> int:
    """Return the bytes in use without the page cache that the kernel can take back (as `docker stats` counts)."""
    cache = stats.get("stats", {})
    reclaimable = cache.get("total_inactive_file", cache.get("inactive_file", 0))  # cgroup v1 has the former
    return max(0, int(stats.get("usage", 0)) - int(reclaimable))
