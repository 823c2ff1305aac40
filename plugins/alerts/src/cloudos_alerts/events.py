"""Events that only this plugin emits, beside `alert.fired` and `alert.resolved` of the SDK."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class AlertAcknowledged(Event, type="alert.acknowledged", audience="alerts:read"):
    """An alert was acknowledged and is no longer repeated."""

    rule: str


@dataclass(frozen=True, kw_only=True)
class AlertRuleAdded(Event, type="alert.rule_added", audience="alerts:read"):
    """An alert rule was added."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AlertRuleChanged(Event, type="alert.rule_changed", audience="alerts:read"):
    """An alert rule was changed."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AlertRuleRemoved(Event, type="alert.rule_removed", audience="alerts:read"):
    """An alert rule was removed."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AlertRuleSilenced(Event, type="alert.rule_silenced", audience="alerts:read"):
    """An alert rule was silenced until a time."""

    name: str
    until: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class AlertRuleUnsilenced(Event, type="alert.rule_unsilenced", audience="alerts:read"):
    """An alert rule notifies again."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AlertChannelAdded(Event, type="alert.channel_added", audience="alerts:read"):
    """A notification channel was added."""

    name: str
    channel_type: str


@dataclass(frozen=True, kw_only=True)
class AlertChannelChanged(Event, type="alert.channel_changed", audience="alerts:read"):
    """A notification channel was changed."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AlertChannelRemoved(Event, type="alert.channel_removed", audience="alerts:read"):
    """A notification channel was removed."""

    name: str


@dataclass(frozen=True, kw_only=True)
class AlertChannelTested(Event, type="alert.channel_tested", audience="alerts:read"):
    """A test notification was sent."""

    name: str
    delivered: bool


@dataclass(frozen=True, kw_only=True)
class AlertChannelFailed(Event, type="alert.channel_failed", audience="alerts:read"):
    """A notification channel failed several times in a row; pending notifications are still retried."""

    name: str
    error: str


@dataclass(frozen=True, kw_only=True)
class AlertChannelRecovered(Event, type="alert.channel_recovered", audience="alerts:read"):
    """A notification channel that failed delivers again."""

    name: str


ALL = (
    AlertAcknowledged,
    AlertRuleAdded,
    AlertRuleChanged,
    AlertRuleRemoved,
    AlertRuleSilenced,
    AlertRuleUnsilenced,
    AlertChannelAdded,
    AlertChannelChanged,
    AlertChannelRemoved,
    AlertChannelTested,
    AlertChannelFailed,
    AlertChannelRecovered,
)
