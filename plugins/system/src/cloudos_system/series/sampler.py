"""The sampler: reads all sources every ten seconds and notifies readers."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from cloudos_sdk import Clock
from cloudos_sdk.capabilities import Metric, MetricSource, Sample, Tick

from cloudos_system.series.minute_buffer import MinuteBuffer
from cloudos_system.series.sampling_schedule import SamplingSchedule

PERIOD = 10.0
_PATIENCE = 5.0
_RECENT = 100  # ticks in memory: a quarter of an hour and a little more


class Sampler:
    """Provides `Metrics`."""

    def __init__(
        self, clock: Clock, log: Any, sources: Callable[[], Sequence[MetricSource]], minutes: MinuteBuffer
    ) -> None:
        self._clock = clock
        self._log = log
        self._sources = sources
        self._minutes = minutes
        self._recent: deque[Tick] = deque(maxlen=_RECENT)
        self._count = 0
        self._fresh = asyncio.Event()
        self._late: dict[int, asyncio.Task[Sequence[Sample]]] = {}
        self._troubles: dict[str, str] = {}
        self._taken = clock.monotonic()
        self.closed = False

    def metrics(self) -> Sequence[Metric]:
        """Return every metric of all sources, by name; of two with one name the first."""
        found: dict[str, Metric] = {}
        for source in self._sources():
            for metric in source.metrics():
                found.setdefault(metric.name, metric)
        return [found[name] for name in sorted(found)]

    def latest(self) -> Tick | None:
        """Return the newest tick."""
        return self._recent[-1] if self._recent else None

    def recent(self) -> Sequence[Tick]:
        """Return the ticks of the last quarter of an hour, oldest first."""
        return tuple(self._recent)

    async def ticks(self) -> AsyncIterator[Tick]:
        """Yield ticks from the next one on; a slow reader gets the newest. Ends with the sampler."""
        seen = self._count
        while True:
            while self._count == seen and not self.closed:
                await self._fresh.wait()
            if self.closed:
                return
            seen = self._count
            yield self._recent[-1]

    def newest(self) -> float:
        """Return the start of the newest reading's interval in seconds since 1970; now if it is stale."""
        late = self.behind() > 3 * PERIOD or not self._recent
        return (self._clock.now() if late else self._recent[-1].time).timestamp() - PERIOD

    def behind(self) -> float:
        """Return the seconds since the newest tick."""
        return self._clock.monotonic() - self._taken

    async def run(self) -> None:
        """Sample until cancelled; the first time at once, then on the grid."""
        grid = SamplingSchedule(PERIOD)
        stamp = self._clock.now()
        while True:
            try:
                await self._take(stamp)
            except Exception as error:  # noqa: BLE001 - one bad round must not be the last
                self._log.error("a round of sampling failed", exc_info=error)
            now = self._clock.monotonic()
            await self._clock.sleep(grid.due(now, self._clock.now()) - now)
            stamp = grid.stamp(self._clock.now())

    async def close(self) -> None:
        """End readers and pending reads."""
        self.closed = True
        self._fresh.set()
        for task in self._late.values():
            task.cancel()
        await asyncio.wait(self._late.values(), timeout=1.0) if self._late else None

    async def _take(self, stamp: datetime) -> None:
        tick = Tick(stamp, tuple(await self._ask_all()))
        self._recent.append(tick)
        self._minutes.add(tick, PERIOD)
        self._count += 1
        self._taken = self._clock.monotonic()
        fresh, self._fresh = self._fresh, asyncio.Event()
        fresh.set()

    async def _ask_all(self) -> list[Sample]:
        """Return the samples of all sources; one that takes over five seconds is skipped until it answers."""
        self._late = {id: task for id, task in self._late.items() if not task.done()}
        asked = {
            id(source): (source, asyncio.create_task(_ask(source), name="metrics:source"))
            for source in self._sources()
            if id(source) not in self._late
        }
        tasks = [task for _, task in asked.values()]
        try:
            await asyncio.wait(tasks, timeout=_PATIENCE) if tasks else None
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        samples: dict[tuple[str, Any], Sample] = {}
        for source, task in asked.values():
            if not task.done():
                task.cancel()
                self._late[id(source)] = task
                self._tell(source, f"gave no answer within {_PATIENCE:.0f} seconds")
                continue
            try:
                for sample in self._checked(source, task.result()):
                    samples.setdefault((sample.name, sample.labels), sample)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - its series are left out, no others
                self._tell(source, f"{type(error).__name__}: {error}")
        return list(samples.values())

    def _checked(self, source: MetricSource, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples that are as the source declared them."""
        known = {metric.name: tuple(sorted(metric.labels)) for metric in source.metrics()}
        good = []
        for sample in samples:
            names = tuple(name for name, _ in sample.labels)
            if known.get(sample.name) == names and math.isfinite(sample.value):
                good.append(sample)
        odd = len(samples) - len(good)
        self._tell(source, f"{odd} of its samples are not as it declares them" if odd else "")
        return good

    def _tell(self, source: MetricSource, trouble: str) -> None:
        """Log a source's trouble once, and its end."""
        name = type(source).__module__
        if self._troubles.get(name, "") != trouble:
            self._troubles[name] = trouble
            if trouble:
                self._log.warning("a source of metrics is left out", source=name, reason=trouble)
            else:
                self._log.info("a source of metrics is back", source=name)


async def _ask(source: MetricSource) -> Sequence[Sample]:
    return await source.sample()
