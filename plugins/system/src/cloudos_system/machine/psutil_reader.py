"""The machine as psutil sees it. Everything here blocks for some milliseconds and is for a thread."""

from __future__ import annotations

import os
import platform
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cloudos_system.schemas import Address, Interface

_CPUINFO = Path("/proc/cpuinfo")
_MODEL = re.compile(r"^(?:model name|Hardware|Model|cpu model)\s*:\s*(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class CpuTime:
    """Seconds that a core was busy, and all seconds, since the start of the machine."""

    busy: float
    total: float


@dataclass(frozen=True)
class DiskCounters:
    """Bytes read and written by a disk, and its busy seconds."""

    read: int
    written: int
    busy: float


@dataclass(frozen=True)
class InterfaceCounters:
    """Bytes received and sent by an interface; `index` changes when it is recreated."""

    received: int
    sent: int
    index: int
    speed_mbps: int


@dataclass(frozen=True)
class MemoryReading:
    """Memory in bytes; `used` excludes reclaimable caches."""

    total: int
    available: int

    @property
    def used(self) -> int:
        """Return the used memory without reclaimable caches."""
        return max(0, self.total - self.available)

    @property
    def percent(self) -> float:
        """Return the share in use."""
        return round(self.used / self.total * 100, 1) if self.total else 0.0


@dataclass(frozen=True)
class SwapReading:
    """Swap space in bytes."""

    total: int
    used: int


def cpu_times() -> list[CpuTime]:
    """Return the times of each core."""
    import psutil

    times = []
    for core in psutil.cpu_times(percpu=True):
        idle = core.idle + getattr(core, "iowait", 0.0)
        guest = getattr(core, "guest", 0.0) + getattr(core, "guest_nice", 0.0)  # counted in user and nice already
        total = sum(core) - guest
        # in hundredths, as the kernel counts: what a difference of floats leaves over is no counter that went back
        times.append(CpuTime(round(total - idle, 2), round(total, 2)))
    return times


def memory() -> MemoryReading:
    """Return the memory."""
    import psutil

    found = psutil.virtual_memory()
    return MemoryReading(found.total, found.available)


def swap() -> SwapReading:
    """Return the swap space."""
    import psutil

    found = psutil.swap_memory()
    return SwapReading(found.total, found.used)


def disk_counters() -> Mapping[str, DiskCounters]:
    """Return the counters of all block devices by name."""
    import psutil

    found: Mapping[str, Any] = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    return {
        name: DiskCounters(one.read_bytes, one.write_bytes, getattr(one, "busy_time", 0) / 1000)
        for name, one in found.items()
    }


def interface_counters() -> Mapping[str, InterfaceCounters]:
    """Return the counters of all interfaces by name."""
    import psutil

    indices = {name: index for index, name in socket.if_nameindex()}
    speeds = {name: one.speed for name, one in psutil.net_if_stats().items()}
    found: Mapping[str, Any] = psutil.net_io_counters(pernic=True, nowrap=False)
    return {
        name: InterfaceCounters(one.bytes_recv, one.bytes_sent, indices.get(name, 0), speeds.get(name, 0))
        for name, one in found.items()
    }


def temperatures() -> Mapping[str, float]:
    """Return the temperatures in °C by sensor; empty if there are none."""
    import psutil

    readings: dict[str, float] = {}
    for chip, sensors in (psutil.sensors_temperatures() or {}).items():
        for number, sensor in enumerate(sensors, 1):
            if sensor.current is not None:
                readings[f"{chip} {sensor.label or number}"] = float(sensor.current)
    return readings


def load() -> tuple[float, float, float]:
    """Return the load averages over 1, 5 and 15 minutes."""
    return os.getloadavg()


def uptime() -> float:
    """Return the seconds since the machine was started; the wall clock has no part in it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def cpu_model() -> str:
    """Return the name of the processor."""
    try:
        found = _MODEL.search(_CPUINFO.read_text(errors="replace"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of cores."""
    return os.cpu_count() or 1


def os_name() -> str:
    """Return the name of the operating system, e.g. `Ubuntu 22.04 LTS`."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def interfaces() -> Sequence[Interface]:
    """Return the network interfaces, by name."""
    import psutil

    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    addresses = psutil.net_if_addrs()
    listed = []
    for name, stats in sorted(psutil.net_if_stats().items()):
        count = counters.get(name)
        links = [one.address for one in addresses.get(name, ()) if one.family == psutil.AF_LINK]
        listed.append(
            Interface(
                name=name,
                is_up=stats.isup,
                is_loopback="loopback" in stats.flags.split(","),
                mac_address=links[0] if links else None,
                mtu=stats.mtu,
                speed_mbps=stats.speed if 0 < stats.speed < 2**16 * 100 else None,
                addresses=[_address(one) for one in addresses.get(name, ()) if one.family in _FAMILIES],
                rx_bytes=count.bytes_recv if count else 0,
                tx_bytes=count.bytes_sent if count else 0,
                rx_errors=count.errin if count else 0,
                tx_errors=count.errout if count else 0,
                rx_dropped=count.dropin if count else 0,
                tx_dropped=count.dropout if count else 0,
            )
        )
    return listed


_FAMILIES: Mapping[int, Literal["ipv4", "ipv6"]] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


def _address(found: Any) -> Address:
    address = found.address.partition("%")[0]  # the zone of a link-local address is the interface itself
    return Address(family=_FAMILIES[found.family], address=address, netmask=found.netmask)
