"""The metrics that this plugin measures."""

from __future__ import annotations

from cloudos_sdk.capabilities import Metric

METRICS: tuple[Metric, ...] = (
    Metric("system.cpu.usage_percent", "percent", "CPU in use, all cores together, 0 to 100."),
    Metric("system.cpu.core_usage_percent", "percent", "CPU in use on one core.", ("core",)),
    Metric("system.load.1m", "processes", "Load average over one minute."),
    Metric("system.load.5m", "processes", "Load average over five minutes."),
    Metric("system.load.15m", "processes", "Load average over fifteen minutes."),
    Metric("system.memory.usage_percent", "percent", "Memory in use, without caches that can be given back."),
    Metric("system.memory.used_mb", "MiB", "Memory in use, without caches that can be given back."),
    Metric("system.memory.available_mb", "MiB", "Memory that programs can still have without swapping."),
    Metric("system.swap.usage_percent", "percent", "Swap in use; absent where there is no swap."),
    Metric("system.swap.used_mb", "MiB", "Swap in use."),
    Metric("system.uptime_seconds", "seconds", "Time since the machine was started."),
    Metric("system.disk.usage_percent", "percent", "Space in use on a filesystem, as df counts.", ("mount_point",)),
    Metric("system.disk.free_bytes", "bytes", "Space that is free for programs on a filesystem.", ("mount_point",)),
    Metric("system.disk.read_bytes_per_sec", "bytes/s", "Bytes read from a disk.", ("disk",)),
    Metric("system.disk.write_bytes_per_sec", "bytes/s", "Bytes written to a disk.", ("disk",)),
    Metric("system.disk.busy_percent", "percent", "Time in which a disk had work to do.", ("disk",)),
    Metric("system.disk.failing", "flag", "1 where a disk says that it fails, 0 where it says it is well.", ("disk",)),
    Metric("system.disk.temperature_celsius", "celsius", "Temperature of a disk, as it reports it.", ("disk",)),
    Metric("system.network.rx_bytes_per_sec", "bytes/s", "Bytes received by an interface.", ("interface",)),
    Metric("system.network.tx_bytes_per_sec", "bytes/s", "Bytes sent by an interface.", ("interface",)),
    Metric("system.temperature_celsius", "celsius", "Temperature of a sensor of the machine.", ("sensor",)),
)
