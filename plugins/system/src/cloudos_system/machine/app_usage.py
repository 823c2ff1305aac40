"""Usage of apps, in total and by app, from the newest readings."""

from __future__ import annotations

from collections.abc import Mapping

from cloudos_sdk.capabilities import Apps, Tick

from cloudos_system.schemas import AppsMetrics, AppsTotal, AppUsage

_CPU, _MEMORY = "app.cpu.usage_percent", "app.memory.usage_mb"
_RX, _TX = "app.network.rx_bytes_per_sec", "app.network.tx_bytes_per_sec"
_RESTARTS = "app.restarts"


async def apps_metrics(apps: Apps | None, tick: Tick | None) -> AppsMetrics:
    """Return the usage of each installed app; empty without an apps plugin."""
    by_app: dict[str, dict[str, float]] = {}
    for sample in tick.samples if tick is not None else ():
        if sample.name.startswith("app.") and len(sample.labels) == 1 and sample.labels[0][0] == "app":
            by_app.setdefault(sample.labels[0][1], {})[sample.name] = sample.value
    listed = await apps.list_apps() if apps is not None else ()
    usages = [_usage(app.id, app.name, app.status, by_app.get(app.id, {})) for app in listed]
    return AppsMetrics(measured_at=tick.time if tick is not None else None, total=_total(usages), apps=usages)


def _usage(id: str, name: str, status: str, values: Mapping[str, float]) -> AppUsage:
    restarts = values.get(_RESTARTS)
    return AppUsage(
        app_id=id,
        name=name,
        status=status,
        cpu_percent=values.get(_CPU),
        memory_usage_mb=values.get(_MEMORY),
        network_rx_bytes_per_sec=values.get(_RX),
        network_tx_bytes_per_sec=values.get(_TX),
        restarts=None if restarts is None else int(restarts),
    )


def _total(usages: list[AppUsage]) -> AppsTotal:
    return AppsTotal(
        apps=len(usages),
        running=sum(usage.status == "running" for usage in usages),
        cpu_percent=round(sum(usage.cpu_percent or 0.0 for usage in usages), 2),
        memory_usage_mb=round(sum(usage.memory_usage_mb or 0.0 for usage in usages), 1),
        network_rx_bytes_per_sec=round(sum(usage.network_rx_bytes_per_sec or 0.0 for usage in usages), 1),
        network_tx_bytes_per_sec=round(sum(usage.network_tx_bytes_per_sec or 0.0 for usage in usages), 1),
        restarts=sum(usage.restarts or 0 for usage in usages),
    )
