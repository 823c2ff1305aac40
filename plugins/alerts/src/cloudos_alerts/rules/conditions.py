"""The states of a rule on one series, as pure functions of values and times.

ok -> pending -> firing -> ok (resolved); no_data where the series has not been measured for longer than `patience`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isnan
from typing import Literal

State = Literal["ok", "pending", "firing", "no_data"]
Kind = Literal["greater_than", "less_than", "equals", "not_equals", "absent"]
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A rule's comparison, threshold and duration; `recovery` is the threshold that ends a firing alert."""

    kind: Kind
    threshold: float | None = None
    recovery: float | None = None
    duration: float = 0.0

    def holds(self, value: float | None) -> bool:
        """Return whether a value, or its absence, meets the condition."""
        if value is None or self.threshold is None:
            return self.kind == "absent" and value is None
        if self.kind == "greater_than":
            return value > self.threshold
        if self.kind == "less_than":
            return value < self.threshold
        return (value == self.threshold) == (self.kind == "equals")

    def recovered(self, value: float | None) -> bool:
        """Return whether a value ends a firing alert; between threshold and recovery it continues."""
        if self.recovery is None or value is None:
            return not self.holds(value)
        return value <= self.recovery if self.kind == "greater_than" else value >= self.recovery


@dataclass(slots=True)
class RuleSeries:
    """A rule on one series: its state since when, and the newest value and when that was seen."""

    labels: Labels
    state: State
    since: datetime
    seen: datetime
    value: float | None = None
    alert_id: str | None = None
    notified_at: datetime | None = None
    acknowledged: bool = False


def follow(condition: Condition, series: RuleSeries, value: float | None, now: datetime, patience: timedelta) -> State:
    """Return the state after a look at `now` that found `value`, or did not find the series.

    A series that is missed for less than `patience` stays as it is.
    """
    if value is not None and isnan(value):
        value = None
    if value is None and condition.kind != "absent":
        return "no_data" if now - series.seen > patience else series.state
    if condition.holds(value):
        if series.state == "firing":
            return "firing"
        held = (now - series.since).total_seconds() if series.state == "pending" else 0.0
        return "firing" if held >= condition.duration else "pending"
    if series.state == "firing" and not condition.recovered(value):
        return "firing"
    return "ok"


def unseen(before: datetime, now: datetime, patience: timedelta) -> timedelta:
    """Return how much of the time between two evaluations does not count: beyond `patience`, or a clock set back.

    Nobody measured in that time (the host was down, the machine asleep) or the clock was set.
    """
    gap = now - before
    return gap - min(max(gap, timedelta(0)), patience)


def shift(series: RuleSeries, by: timedelta, now: datetime, tolerance: timedelta) -> None:
    """Exclude unseen time from durations; beyond `tolerance` a pending series starts over."""
    series.seen += by
    if series.state == "pending":
        series.since = now if by > tolerance else series.since + by
