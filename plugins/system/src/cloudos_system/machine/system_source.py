"""The machine's own series: a `MetricSource` that reads in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cloudos_sdk.capabilities import Metric, Sample

from cloudos_system.disks.physical_disks import physical_disks
from cloudos_system.disks.smart_report import SmartReport
from cloudos_system.machine import psutil_reader
from cloudos_system.machine.filesystems import Usage, real_mounts, usage_of
from cloudos_system.machine.metric_catalog import METRICS
from cloudos_system.machine.rates import Counter, CounterRates

_MB = 2**20
_FASTEST = 50e9  # bytes a second that no interface or disk exceeds: 400 Gbit/s
_PASSING = ("veth",)  # one end of a container's cable: each has a new name, and its app's traffic is measured
_CACHE = 60.0  # seconds for which the list of disks holds

Key = tuple[str, str, str]


@dataclass(frozen=True)
class SystemReading:
    """All that was read at one moment."""

    moment: float
    cores: Sequence[psutil_reader.CpuTime]
    load: tuple[float, float, float]
    memory: psutil_reader.MemoryReading
    swap: psutil_reader.SwapReading
    uptime: float
    filesystems: Mapping[str, Usage]
    counters: Mapping[Key, Counter]
    temperatures: Mapping[str, float] = field(default_factory=dict)


class SystemSource:
    """Provides the machine's series. `smart` returns the last SMART reports by disk."""

    def __init__(self, smart: Callable[[], Mapping[str, SmartReport]], threads: ThreadPoolExecutor) -> None:
        self._smart = smart
        self._threads = threads
        self._rates: CounterRates[Key] = CounterRates()
        self._disks: tuple[float, set[str]] = (float("-inf"), set())

    def metrics(self) -> Sequence[Metric]:
        """Return the current samples."""
        return METRICS

    async def sample(self) -> Sequence[Sample]:
        """Measure now; rates are those since the last time."""
        reading = await asyncio.get_running_loop().run_in_executor(self._threads, self._read)
        return [*self._levels(reading), *self._since(reading), *self._health()]

    def _read(self) -> SystemReading:
        if time.monotonic() - self._disks[0] > _CACHE:
            self._disks = (time.monotonic(), {disk.name for disk in physical_disks()})
        cores = psutil_reader.cpu_times()
        counters = dict(_cpu_counters(cores)) | dict(_disk_counters(self._disks[1])) | dict(_interface_counters())
        return SystemReading(
            moment=time.monotonic(),
            cores=cores,
            load=psutil_reader.load(),
            memory=psutil_reader.memory(),
            swap=psutil_reader.swap(),
            uptime=psutil_reader.uptime(),
            filesystems=dict(_filesystems()),
            counters=counters,
            temperatures=psutil_reader.temperatures(),
        )

    def _levels(self, reading: SystemReading) -> Iterator[Sample]:
        for minutes, value in zip((1, 5, 15), reading.load, strict=True):
            yield Sample(f"system.load.{minutes}m", round(value, 2))
        memory, swap = reading.memory, reading.swap
        yield Sample("system.memory.usage_percent", memory.percent)
        yield Sample("system.memory.used_mb", round(memory.used / _MB, 1))
        yield Sample("system.memory.available_mb", round(memory.available / _MB, 1))
        yield Sample("system.swap.used_mb", round(swap.used / _MB, 1))
        if swap.total:
            yield Sample("system.swap.usage_percent", round(swap.used / swap.total * 100, 1))
        yield Sample("system.uptime_seconds", round(reading.uptime, 1))
        for mount_point, usage in reading.filesystems.items():
            labels = (("mount_point", mount_point),)
            yield Sample("system.disk.usage_percent", usage.percent, labels)
            yield Sample("system.disk.free_bytes", float(usage.free), labels)
        for sensor, celsius in reading.temperatures.items():
            yield Sample("system.temperature_celsius", celsius, (("sensor", sensor),))

    def _since(self, reading: SystemReading) -> Iterator[Sample]:
        """Yield the samples that need two readings."""
        rates = self._rates.take(reading.moment, reading.counters)
        for key, rate in rates.items():
            metric, label, name = key
            if metric == "cpu":
                continue
            value = min(100.0, rate * 100) if metric.endswith("_percent") else rate
            yield Sample(metric, round(value, 1), ((label, name),))
        shares = [_share(rates, str(number)) for number in range(len(reading.cores))]
        known = [share for share in shares if share is not None]
        for number, share in enumerate(shares):
            if share is not None:
                yield Sample("system.cpu.core_usage_percent", round(share, 1), (("core", str(number)),))
        if known:
            yield Sample("system.cpu.usage_percent", round(sum(known) / len(known), 1))

    def _health(self) -> Iterator[Sample]:
        for name, report in self._smart().items():
            labels = (("disk", name),)
            if report.status != "unknown":
                yield Sample("system.disk.failing", float(report.status == "failing"), labels)
            if report.temperature_c is not None:
                yield Sample("system.disk.temperature_celsius", float(report.temperature_c), labels)


def _share(rates: Mapping[Key, float], core: str) -> float | None:
    """Return the busy share of a core in percent; None without a measured interval."""
    busy, total = rates.get(("cpu", "busy", core)), rates.get(("cpu", "total", core))
    return min(100.0, busy / total * 100) if busy is not None and total else None


def _cpu_counters(cores: Sequence[psutil_reader.CpuTime]) -> Iterator[tuple[Key, Counter]]:
    for number, core in enumerate(cores):
        yield ("cpu", "busy", str(number)), Counter(core.busy)
        yield ("cpu", "total", str(number)), Counter(core.total)


def _disk_counters(disks: set[str]) -> Iterator[tuple[Key, Counter]]:
    for name, one in psutil_reader.disk_counters().items():
        if name in disks:
            yield ("system.disk.read_bytes_per_sec", "disk", name), Counter(one.read, limit=_FASTEST)
            yield ("system.disk.write_bytes_per_sec", "disk", name), Counter(one.written, limit=_FASTEST)
            yield ("system.disk.busy_percent", "disk", name), Counter(one.busy)


def _interface_counters() -> Iterator[tuple[Key, Counter]]:
    for name, one in psutil_reader.interface_counters().items():
        if name.startswith(_PASSING):
            continue
        # twice the speed of the link: a burst that was buffered before the reading is no spike
        limit = one.speed_mbps * 125_000 * 2 if 0 < one.speed_mbps < 65_535 else _FASTEST
        yield ("system.network.rx_bytes_per_sec", "interface", name), Counter(one.received, one.index, limit)
        yield ("system.network.tx_bytes_per_sec", "interface", name), Counter(one.sent, one.index, limit)


def _filesystems() -> Iterator[tuple[str, Usage]]:
    for mount in real_mounts():
        try:
            yield mount.mount_point, usage_of(mount.mount_point)
        except OSError:
            continue  # it was unmounted meanwhile, or may not be looked at
