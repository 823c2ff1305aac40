"""What the apps use, as series for whoever samples: a `MetricSource`, with the app's id as the label `app`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudos_sdk.capabilities import Metric, Sample

from cloudos_apps.docker_engine import DockerEngine
from cloudos_apps.engine_errors import DockerUnreachable, EngineRefused
from cloudos_apps.specs import APP, NODE, ContainerState
from cloudos_apps.usage import cpu_percent, memory

_MB = 2**20
_AT_ONCE = 2  # of the engine's four threads: somebody may be waiting for the others
_COUNTED = 60.0  # seconds for which restart counts hold: each costs a question to the engine

CPU, MEMORY, RESTARTS = "app.cpu.usage_percent", "app.memory.usage_mb", "app.restarts"
RX, TX = "app.network.rx_bytes_per_sec", "app.network.tx_bytes_per_sec"
METRICS = (
    Metric(CPU, "percent", "CPU that an app uses, in percent of one core: 200 is two cores.", ("app",)),
    Metric(MEMORY, "MiB", "Memory that an app uses, without caches that can be given back.", ("app",)),
    Metric(RX, "bytes/s", "Bytes that an app receives.", ("app",)),
    Metric(TX, "bytes/s", "Bytes that an app sends.", ("app",)),
    Metric(RESTARTS, "restarts", "How often the engine has restarted an app since it was made or changed.", ("app",)),
)


@dataclass(frozen=True)
class _Reading:
    """What a container said at one moment."""

    moment: float
    app: str
    said: Mapping[str, Any]

    def network(self, direction: str) -> int:
        """Return the bytes of all its interfaces."""
        return sum(int(one[direction]) for one in (self.said.get("networks") or {}).values())


class AppMetrics:
    """Measures the running containers of this node's apps, a few at a time. Without the engine there are no series."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._before: Mapping[str, _Reading] = {}
        self._restarts: tuple[float, Mapping[str, int]] = (float("-inf"), {})

    def metrics(self) -> Sequence[Metric]:
        """Return what it measures."""
        return METRICS

    async def sample(self) -> Sequence[Sample]:
        """Measure now: levels, and rates since the time before."""
        try:
            running = await self._engine.call(_running, self._engine.node)
            readings = await asyncio.gather(*(self._read(id, app) for id, app in running.items()))
            restarts = await self._count_restarts()
        except DockerUnreachable:
            self._before = {}
            return ()
        now = {id: reading for id, reading in zip(running, readings, strict=True) if reading is not None}
        before, self._before = self._before, now
        sums = _sums(_values(before, now))
        counted = [Sample(RESTARTS, float(count), (("app", app),)) for app, count in restarts.items()]
        return [*(Sample(name, round(value, 2), (("app", app),)) for (name, app), value in sums.items()), *counted]

    async def _read(self, container: str, app: str) -> _Reading | None:
        """Return what a container says; None where it ended meanwhile."""
        async with self._few:
            try:
                said = await self._engine.usage(container)
            except EngineRefused:
                return None
        alive = said.get("memory_stats") and "system_cpu_usage" in said.get("cpu_stats", {})
        return _Reading(time.monotonic(), app, said) if alive else None

    async def _count_restarts(self) -> Mapping[str, int]:
        if time.monotonic() - self._restarts[0] > _COUNTED:
            self._restarts = (time.monotonic(), _restarts(await self._engine.states()))
        return self._restarts[1]


def _running(client: Any, node: str) -> dict[str, str]:
    """Return the running containers of this node by id, with their apps."""
    listed = client.containers(filters={"label": [f"{NODE}={node}"]})
    return {found["Id"]: found["Labels"][APP] for found in listed if APP in found["Labels"]}


def _restarts(states: Iterable[ContainerState]) -> Mapping[str, int]:
    """Return the restarts of each app's newest containers."""
    newest: dict[str, tuple[int, int]] = {}
    for state in states:
        generation, count = newest.get(state.app, (-1, 0))
        if state.generation > generation:
            generation, count = state.generation, 0
        if state.generation == generation:
            newest[state.app] = (generation, count + state.restarts)
    return {app: count for app, (_, count) in newest.items()}


def _values(before: Mapping[str, _Reading], now: Mapping[str, _Reading]) -> Iterator[tuple[str, str, float]]:
    """Yield metric, app and value for each container; a counter that went back has no rate."""
    for container, reading in now.items():
        yield MEMORY, reading.app, memory(reading.said["memory_stats"]) / _MB
        earlier = before.get(container)
        passed = reading.moment - earlier.moment if earlier is not None else 0.0
        if earlier is None or passed <= 0:
            continue
        yield CPU, reading.app, cpu_percent(earlier.said, reading.said)
        for metric, direction in ((RX, "rx_bytes"), (TX, "tx_bytes")):
            moved = reading.network(direction) - earlier.network(direction)
            if moved >= 0:
                yield metric, reading.app, moved / passed


def _sums(values: Iterable[tuple[str, str, float]]) -> Mapping[tuple[str, str], float]:
    """Add up the containers of each app."""
    sums: dict[tuple[str, str], float] = {}
    for metric, app, value in values:
        sums[metric, app] = sums.get((metric, app), 0.0) + value
    return sums
