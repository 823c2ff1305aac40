"""The messages of events, history and notifications."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cloudos_sdk import iso

from cloudos_alerts.rules.conditions import Condition
from cloudos_alerts.rules.durations import span

_WORDS = {
    "greater_than": "greater than",
    "less_than": "less than",
    "equals": "equal to",
    "not_equals": "other than",
}
_UNITS = {"percent": " %", "days": " days"}


def series_name(metric: str, labels: Mapping[str, str]) -> str:
    """Return `system.disk.usage_percent{mount_point="/"}`."""
    inner = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric}{{{inner}}}" if inner else metric


def number(value: float | None, unit: str = "") -> str:
    """Return a value as one says it, with its unit."""
    return "nothing" if value is None else f"{round(value, 2):.15g}{_UNITS.get(unit, '')}"


def summary(series: str, condition: Condition, value: float | None, unit: str) -> str:
    """Return a one-sentence summary of an alert."""
    held = f" for {span(condition.duration)}" if condition.duration else ""
    if condition.kind == "absent":
        return f"{series} has not been measured{held}."
    threshold = number(condition.threshold, unit)
    return f"{series} is {number(value, unit)}, {_WORDS[condition.kind]} {threshold}{held}."


def title(kind: str, severity: str, rule: str, node: str) -> str:
    """Return the first line of a notification."""
    word = "Resolved" if kind == "resolved" else severity.capitalize()
    return f"{word}: {rule} on {node}"


def body(kind: str, text: str, fired_at: datetime, alert_id: str, ending: str = "") -> str:
    """Return the rest of a notification."""
    first = {"fired": text, "repeated": f"Still: {text}", "resolved": ending}[kind]
    return f"{first}\nSince {iso(fired_at)}. Alert {alert_id}."


def ending(resolution: str, series: str, value: float | None, unit: str) -> str:
    """Return how an alert ended in one sentence."""
    if resolution == "recovered":
        return f"{series} is {number(value, unit)} again." if value is not None else f"{series} is measured again."
    if resolution == "no_data":
        return f"{series} can no longer be measured; whether it recovered is not known."
    return {
        "rule_changed": "The rule was changed.",
        "rule_disabled": "The rule was disabled.",
        "rule_removed": "The rule was removed.",
    }[resolution]
