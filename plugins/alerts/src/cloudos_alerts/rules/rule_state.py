"""Rules in memory: conditions, series and changes of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson

from cloudos_alerts.rules.conditions import Condition, Labels, RuleSeries, State

Kind = Literal["fired", "repeated", "resolved"]
_RANK = {"firing": 3, "pending": 2, "ok": 1, "no_data": 0}


@dataclass(slots=True)
class RuleState:
    """A rule and the states of its series."""

    id: str
    name: str
    metric: str
    condition: Condition
    severity: str
    labels: Labels
    channel_ids: list[str]
    repeat: timedelta | None
    enabled: bool
    silenced_until: datetime | None
    series: dict[Labels, RuleSeries] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Any) -> RuleState:
        """Return the rule of a row, without series."""
        condition = Condition(row.condition, row.threshold, row.recovery_threshold, float(row.duration))
        return cls(
            id=row.id,
            name=row.name,
            metric=row.metric,
            condition=condition,
            severity=row.severity,
            labels=pairs(row.labels),
            channel_ids=list(row.channel_ids),
            repeat=timedelta(seconds=row.repeat_interval) if row.repeat_interval else None,
            enabled=bool(row.enabled),
            silenced_until=row.silenced_until,
        )

    def asks_the_same(self, other: RuleState) -> bool:
        """Return whether the series' states are valid for `other` too."""
        return (self.metric, self.condition, self.labels) == (other.metric, other.condition, other.labels)

    def silenced(self, now: datetime) -> bool:
        """Return whether the rule is silenced now."""
        return self.silenced_until is not None and now < self.silenced_until

    def due(self, series: RuleSeries, now: datetime) -> bool:
        """Return whether a notification of a firing series is due."""
        if not self.channel_ids or series.acknowledged or self.silenced(now):
            return False
        if series.notified_at is None:
            return True
        return self.repeat is not None and now - series.notified_at >= self.repeat

    def state(self, without_series: State) -> str:
        """Return the worst state of its series."""
        if not self.enabled:
            return "disabled"
        return max((s.state for s in self.series.values()), key=_RANK.__getitem__, default=without_series)


@dataclass(slots=True)
class Change:
    """A change of a series: its state, an alert that begins or ends, a notification."""

    rule: RuleState
    series: RuleSeries
    state: State
    since: datetime
    alert_id: str | None
    turn: Literal["fired", "resolved"] | None = None
    resolution: str | None = None
    notify: Kind | None = None
    summary: str = ""
    ending: str = ""

    def apply(self, now: datetime) -> None:
        """Make it so, once it is stored."""
        series = self.series
        series.state, series.since = self.state, self.since
        if self.turn is not None:
            series.alert_id = self.alert_id if self.turn == "fired" else None
            series.notified_at, series.acknowledged = None, False
        if self.notify in ("fired", "repeated"):
            series.notified_at = now


def pairs(labels: Mapping[str, str]) -> Labels:
    """Return labels as sorted pairs."""
    return tuple(sorted(labels.items()))


def text(labels: Labels) -> str:
    """Return labels as they are stored."""
    return orjson.dumps(labels).decode()


def labels_in(stored: str) -> Labels:
    """Return labels that were stored."""
    return tuple((name, value) for name, value in orjson.loads(stored))
