"""A source whose values a test sets."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from cloudos_sdk.capabilities import Metric, MetricSource, Sample
from cloudos_sdk.testing.fakes import providing

RX, TX = "system.network.rx_bytes_per_sec", "system.network.tx_bytes_per_sec"
METRICS = (
    Metric("lab.level", "units", "A level that a test sets.", ("tube",)),
    Metric("lab.heat", "celsius", "Another."),
    Metric(RX, "bytes/s", "Bytes received by an interface.", ("interface",)),
    Metric(TX, "bytes/s", "Bytes sent by an interface.", ("interface",)),
)


class Lab:
    """Measures what is in `values`: series to value. `fails` is raised, `waits` is awaited first."""

    def __init__(self, **levels: float) -> None:
        self.values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.fails: Exception | None = None
        self.waits: Any = None
        self.asked = 0
        self.set(**levels)

    def set(self, **levels: float) -> None:
        """Set the level of tubes by name."""
        for tube, value in levels.items():
            self.values["lab.level", (("tube", tube),)] = value

    def traffic(self, rx: float, tx: float, interface: str = "test0") -> None:
        """Set the rates of an interface that the machine does not have."""
        self.values[RX, (("interface", interface),)] = rx
        self.values[TX, (("interface", interface),)] = tx

    def metrics(self) -> Sequence[Metric]:
        """Return the current samples."""
        return METRICS

    async def sample(self) -> Sequence[Sample]:
        """Return the values as they are now."""
        self.asked += 1
        if self.waits is not None:
            await self.waits()
        if self.fails is not None:
            raise self.fails
        return [Sample(name, value, labels) for (name, labels), value in self.values.items()]

    @property
    def plugin(self) -> ModuleType:
        """Return a plugin that provides it."""
        return providing(MetricSource, self)
