"""The host's counters and the plugins' metrics in Prometheus' text format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cloudos_sdk.capabilities import Metrics

from cloudos_host.plugins.registry import PluginState

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

_STALE = timedelta(minutes=1)
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


def exposition(host: Any) -> tuple[bytes, str]:
    """Return the text and its media type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

    registry = CollectorRegistry()
    states = Gauge("cloudos_plugin_running", "1 where the plugin runs", ["plugin"], registry=registry)
    well = Gauge("cloudos_plugin_healthy", "1 where the plugin says that it is well", ["plugin"], registry=registry)
    served = Counter("cloudos_http_requests", "Requests answered", ["plugin", "status"], registry=registry)
    for record in host.records:
        states.labels(record.id).set(record.state is PluginState.RUNNING)
        well.labels(record.id).set(record.health.ok)
    for (plugin, status), count in host.app.served.items():
        served.labels(plugin, str(status)).inc(count)
    text: bytes = generate_latest(registry)
    metrics = host.capabilities.find(Metrics)
    if metrics is not None:
        try:
            text += generate_latest(_Measured(list(_families(metrics, host.clock))))
        except Exception as error:
            host.log.error("what is measured cannot be exposed", exc_info=error)
    return text, CONTENT_TYPE_LATEST


class _Measured:
    """A registry for `generate_latest`."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families


def _families(metrics: Metrics, clock: Any) -> Iterable[GaugeMetricFamily]:
    """Yield the newest readings as gauges: `system.load.1m` is `cloudos_system_load_1m`; old ones are no readings."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    tick = metrics.latest()
    if tick is None or clock.now() - tick.time > _STALE:
        return
    known = {metric.name: metric for metric in metrics.metrics()}
    families: dict[str, GaugeMetricFamily] = {}
    for sample in tick.samples:
        metric, labels = known.get(sample.name), dict(sample.labels)
        if metric is None or not all(_LABEL.fullmatch(name) for name in labels):
            continue
        name = f"cloudos_{sample.name.replace('.', '_')}"
        if name not in families:
            families[name] = GaugeMetricFamily(name, f"{metric.help} ({metric.unit})", labels=list(labels))
        families[name].add_metric(list(labels.values()), sample.value)
    yield from families.values()
