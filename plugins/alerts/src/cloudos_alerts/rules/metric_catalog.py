"""Which metrics there are to have rules on, and the nearest to a name that is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from cloudos_sdk import Context, InvalidRequest
from cloudos_sdk.capabilities import Metric, Metrics, MetricSource

from cloudos_alerts.rules.event_metrics import vocabulary

_STANDARD = (
    Metric("system.cpu.usage_percent", "percent", "Use of the processor"),
    Metric("system.memory.usage_percent", "percent", "Memory in use"),
    Metric("system.disk.usage_percent", "percent", "Space in use of a filesystem", ("mount_point",)),
    Metric("system.disk.failing", "flag", "1 where a disk says that it fails", ("disk",)),
    Metric("app.cpu.usage_percent", "percent", "Use of the processor by an app", ("app",)),
    Metric("app.restarts", "restarts", "Restarts of an app's containers", ("app",)),
    Metric("proxy.certificate.days_left", "days", "Days until a certificate ends", ("domain",)),
)


class MetricCatalog:
    """The metrics of every source, of events, and those a node usually has: a rule may come before its source."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def metrics(self) -> Mapping[str, Metric]:
        """Return every metric by name."""
        found = {metric.name: metric for metric in _STANDARD}
        sources: list[Any] = [*self._ctx.all(MetricSource), *self._ctx.all(Metrics)]
        for source in sources:
            found |= {metric.name: metric for metric in source.metrics()}
        return dict(sorted({**found, **vocabulary()}.items()))

    def unit(self, name: str) -> str:
        """Return the unit of a metric, or an empty text."""
        metric = self.metrics().get(name)
        return metric.unit if metric is not None else ""

    def check(self, name: str, labels: Iterable[str]) -> None:
        """Raise InvalidRequest with similar names if the metric or its labels do not exist."""
        known = self.metrics()
        metric = known.get(name)
        if metric is None:
            raise unknown("metric", f"There is no metric {name!r}.", nearest(name, known))
        for label in labels:
            if label not in metric.labels:
                has = ", ".join(metric.labels) or "none"
                raise unknown(f"labels.{label}", f"{name} has no label {label!r}; it has {has}.", metric.labels)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the names that a misspelt one may have meant, the likeliest first."""
    return difflib.get_close_matches(name[:100], list(known), n=3, cutoff=0.5)


def unknown(path: str, message: str, near: Iterable[str]) -> InvalidRequest:
    """Return the error of a name that means nothing here."""
    names = list(near)
    full = f"{message} Nearest: {', '.join(names)}." if names else message
    return InvalidRequest(full, fields=[{"path": path, "message": full, "nearest": names}])
