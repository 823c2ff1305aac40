"""Metrics: plugins provide series, one plugin samples and stores them, others read them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Metric:
    """A thing that is measured, such as `system.cpu.usage_percent`: its unit, a sentence, and its label names."""

    name: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series: the metric's name and its labels as sorted pairs.

    A value is a level, never a running total: who reads a counter turns it into a rate a second.
    """

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """All samples taken at one time. A series that could not be read is absent from it."""

    time: datetime
    samples: Sequence[Sample]


class MetricSource(Protocol):
    """A plugin's own series. Any number of plugins provide it."""

    def metrics(self) -> Sequence[Metric]:
        """Return the current samples."""
        ...

    async def sample(self) -> Sequence[Sample]:
        """Measure now. Called every ten seconds and given up after five; an error leaves its series out."""
        ...


class Metrics(Protocol):
    """Everything that is measured on this node; provided by the plugin that samples."""

    def metrics(self) -> Sequence[Metric]:
        """Return every metric, of all sources, by name."""
        ...

    def latest(self) -> Tick | None:
        """Return the newest samples, from memory; None before the first."""
        ...

    def ticks(self) -> AsyncIterator[Tick]:
        """Yield each tick as it is sampled. A slow reader misses ticks and delays no other."""
        ...
