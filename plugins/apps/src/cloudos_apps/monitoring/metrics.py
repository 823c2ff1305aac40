"""Usage of apps as a `MetricSource`, with the app's id as label `app`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cloudos_sdk import CloudOSError
from cloudos_sdk.capabilities import Metric, Sample

from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.engine.errors import DockerUnreachable
from cloudos_apps.engine.specs import APP, NODE, ContainerState
from cloudos_apps.monitoring.stats import cpu_percent, memory

_MB = 2**20
_AT_ONCE = 8
_PATIENCE = 4.0  # seconds that a sampling waits for containers; who samples gives up after five
_FRESH = 25.0  # seconds for which a reading that is not renewed still stands
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
    """The statistics of a container at one moment."""

    moment: float
    app: str
    said: Mapping[str, Any]

    def network(self, direction: str) -> int:
        """Return the bytes of all its interfaces."""
        return sum(int(one[direction]) for one in (self.said.get("networks") or {}).values())


class AppMetrics:
    """Measures the running containers of this node's apps, a few at a time. Without the engine there are no series.

    The engine takes up to a second to answer for a container, so that these questions have threads of their own, and
    what is not answered in time is answered for the next sampling.
    """

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="docker-stats")
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._pairs: dict[str, tuple[_Reading | None, _Reading]] = {}
        self._restarts: tuple[float, Mapping[str, int]] = (float("-inf"), {})

    def close(self) -> None:
        """End the threads."""
        for task in self._asking.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def metrics(self) -> Sequence[Metric]:
        """Return the current samples."""
        return METRICS

    async def sample(self) -> Sequence[Sample]:
        """Measure now: levels, and rates since the time before."""
        try:
            running = await self._engine.call(_running, self._engine.node)
            restarts = await self._count_restarts()
        except DockerUnreachable:
            self._pairs = {}
            return ()
        self._asking = {id: task for id, task in self._asking.items() if not task.done()}
        for id, app in running.items():
            if id not in self._asking:
                self._asking[id] = asyncio.create_task(self._read(id, app), name="apps:stats")
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=_PATIENCE)
        oldest = time.monotonic() - _FRESH
        pairs = {id: pair for id, pair in self._pairs.items() if id in running and pair[1].moment > oldest}
        self._pairs = pairs
        sums = _sums(value for before, now in pairs.values() for value in _values(before, now))
        counted = [Sample(RESTARTS, float(count), (("app", app),)) for app, count in restarts.items()]
        return [*(Sample(name, round(value, 2), (("app", app),)) for (name, app), value in sums.items()), *counted]

    def sampled(self, container: str) -> tuple[float, Mapping[str, Any]] | None:
        """Return the time and statistics of a container's last sample."""
        pair = self._pairs.get(container)
        return (pair[1].moment, pair[1].said) if pair is not None else None

    async def _read(self, container: str, app: str) -> None:
        """Store a container's statistics, unless it ended meanwhile."""
        ask = asyncio.get_running_loop().run_in_executor
        try:
            said = await ask(self._threads, self._engine.guarded, _stats, container)
        except CloudOSError:
            return
        if said.get("memory_stats") and "system_cpu_usage" in said.get("cpu_stats", {}):
            before = self._pairs.get(container)
            self._pairs[container] = (before[1] if before else None, _Reading(time.monotonic(), app, said))

    async def _count_restarts(self) -> Mapping[str, int]:
        if time.monotonic() - self._restarts[0] > _COUNTED:
            self._restarts = (time.monotonic(), _restarts(await self._engine.states()))
        return self._restarts[1]


def _stats(client: Any, container: str) -> Mapping[str, Any]:
    """Return the engine's statistics of a container."""
    said: Mapping[str, Any] = client.stats(container, stream=False, one_shot=True)
    return said


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


def _values(before: _Reading | None, now: _Reading) -> Iterator[tuple[str, str, float]]:
    """Yield metric, app and value of a container; a counter that went back has no rate."""
    yield MEMORY, now.app, memory(now.said["memory_stats"]) / _MB
    passed = now.moment - before.moment if before is not None else 0.0
    if before is None or passed <= 0:
        return
    yield CPU, now.app, cpu_percent(before.said, now.said)
    for metric, direction in ((RX, "rx_bytes"), (TX, "tx_bytes")):
        moved = now.network(direction) - before.network(direction)
        if moved >= 0:
            yield metric, now.app, moved / passed


def _sums(values: Iterable[tuple[str, str, float]]) -> Mapping[tuple[str, str], float]:
    """Add up the containers of each app."""
    sums: dict[tuple[str, str], float] = {}
    for metric, app, value in values:
        sums[metric, app] = sums.get((metric, app), 0.0) + value
    return sums
