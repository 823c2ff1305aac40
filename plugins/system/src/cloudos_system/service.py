"""The machine's properties and current usage."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cloudos_system.machine import psutil_reader
from cloudos_system.machine.filesystems import real_mounts, usage_of
from cloudos_system.schemas import Cpu, Current, Disk, DiskUse, Info, Interface, MemoryUse
from cloudos_system.series.sampler import PERIOD, Sampler

T = TypeVar("T")

_PRODUCT = "cloudos-host"
_APART = 0.25  # seconds between the two looks that a share of the CPU needs


class SystemService:
    """Answers by a look at the machine, in a thread."""

    def __init__(self, node_id: str, sampler: Sampler, threads: ThreadPoolExecutor) -> None:
        self._node_id = node_id
        self._sampler = sampler
        self._threads = threads

    async def current(self) -> Current:
        """Return the current usage; CPU is the mean of the last ten seconds, or of 0.25 s right after a start."""
        share = self._sampled_cpu()
        if share is None:
            before = await self._run(psutil_reader.cpu_times)
            await asyncio.sleep(_APART)
            share = _busy(before, await self._run(psutil_reader.cpu_times))
        return await self._run(lambda: _current(share))

    async def info(self) -> Info:
        """Return the properties of this node."""
        return await self._run(self._info)

    async def disks(self) -> list[Disk]:
        """Return the real filesystems, by mount point."""
        return await self._run(_disks)

    async def interfaces(self) -> list[Interface]:
        """Return the network interfaces, by name."""
        return list(await self._run(psutil_reader.interfaces))

    def _sampled_cpu(self) -> float | None:
        tick = self._sampler.latest()
        if tick is None or self._sampler.behind() > 2 * PERIOD:
            return None
        return next((sample.value for sample in tick.samples if sample.name == "system.cpu.usage_percent"), None)

    def _info(self) -> Info:
        return Info(
            hostname=platform.node(),
            os=psutil_reader.os_name(),
            kernel=platform.release(),
            architecture=platform.machine(),
            quazzar_version=importlib.metadata.version(_PRODUCT),
            uptime_seconds=int(psutil_reader.uptime()),
            node_id=self._node_id,
        )

    async def _run(self, fn: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn)


def _busy(before: list[psutil_reader.CpuTime], now: list[psutil_reader.CpuTime]) -> float:
    busy = sum(core.busy for core in now) - sum(core.busy for core in before)
    total = sum(core.total for core in now) - sum(core.total for core in before)
    return round(min(100.0, max(0.0, busy / total * 100)), 1) if total > 0 else 0.0


def _current(cpu: float) -> Current:
    memory, disk = psutil_reader.memory(), usage_of("/")
    return Current(
        cpu=Cpu(usage_percent=cpu, cores=psutil_reader.cores(), model=psutil_reader.cpu_model()),
        memory=MemoryUse(total_mb=memory.total // 2**20, used_mb=memory.used // 2**20, usage_percent=memory.percent),
        disk=DiskUse(total_gb=round(disk.total / 2**30), used_gb=round(disk.used / 2**30), usage_percent=disk.percent),
        uptime_seconds=int(psutil_reader.uptime()),
    )


def _disks() -> list[Disk]:
    disks = []
    for mount in real_mounts():
        try:
            usage = usage_of(mount.mount_point)
        except OSError:
            continue  # it was unmounted meanwhile, or may not be looked at
        disks.append(
            Disk(
                device=mount.device,
                mount_point=mount.mount_point,
                fs_type=mount.fs_type,
                total_bytes=usage.total,
                used_bytes=usage.used,
                free_bytes=usage.free,
                usage_percent=usage.percent,
            )
        )
    return disks
