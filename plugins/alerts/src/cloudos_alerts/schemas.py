"""Bodies, queries and answers of the alert endpoints (reference, "Alerts")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body, Page, Query
from pydantic import BaseModel, Field, StringConstraints, ValidationInfo, field_validator

from cloudos_alerts.channel_types import ChannelType
from cloudos_alerts.rules.conditions import Kind, State
from cloudos_alerts.rules.durations import Duration, seconds_of

Severity = Literal["info", "warning", "critical"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Reason = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e300, le=1e300)]
Id = Annotated[str, StringConstraints(max_length=100)]
_SHORTEST_REPEAT = 60
LabelText = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class NewRule(Body):
    """A new rule: fires if `condition` holds for `duration`. `labels` limits it to series with these labels."""

    name: Name
    metric: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    condition: Kind
    threshold: Number | None = Field(
        default=None, validate_default=True, description="Needed, but for the condition absent"
    )
    duration: Duration = "0s"
    severity: Severity = "warning"
    channel_id: Id | None = None
    channel_ids: list[Id] = Field(default_factory=list, max_length=20)
    labels: dict[LabelText, LabelText] = Field(default_factory=dict, max_length=10)
    recovery_threshold: Number | None = Field(default=None, description="Where it ends, if not at the threshold")
    repeat_interval: Duration | None = Field(default=None, description="Notify again while it fires, this often")
    enabled: bool = True

    @field_validator("threshold")
    @classmethod
    def _with_condition(cls, threshold: float | None, info: ValidationInfo) -> float | None:
        condition = info.data.get("condition")
        if condition is not None and (threshold is None) != (condition == "absent"):
            raise ValueError("every condition but absent needs a threshold, and absent has none")
        return threshold

    @field_validator("recovery_threshold")
    @classmethod
    def _beyond_threshold(cls, recovery: float | None, info: ValidationInfo) -> float | None:
        condition, threshold = info.data.get("condition"), info.data.get("threshold")
        if recovery is None or threshold is None:
            return recovery
        if condition not in ("greater_than", "less_than"):
            raise ValueError("goes with greater_than and less_than only")
        if (recovery > threshold) if condition == "greater_than" else (recovery < threshold):
            raise ValueError(f"must lie on the good side of the threshold {threshold:g}")
        return recovery

    @field_validator("repeat_interval")
    @classmethod
    def _some_time(cls, interval: str | None) -> str | None:
        if interval is not None and seconds_of(interval) < _SHORTEST_REPEAT:
            raise ValueError("is a minute at least; leave it out to be told once")
        return interval

    def channels(self) -> list[str]:
        """Return the ids of all its channels, each once."""
        return list(dict.fromkeys([*([self.channel_id] if self.channel_id else []), *self.channel_ids]))


class RuleChange(Body):
    """A change of a rule; omitted fields stay, `null` removes an optional one."""

    name: Name | None = None
    metric: str | None = None
    condition: Kind | None = None
    threshold: Number | None = None
    duration: Duration | None = None
    severity: Severity | None = None
    channel_id: Id | None = None
    channel_ids: list[Id] | None = Field(default=None, max_length=20)
    labels: dict[LabelText, LabelText] | None = Field(default=None, max_length=10)
    recovery_threshold: Number | None = None
    repeat_interval: Duration | None = None
    enabled: bool | None = None


class SeriesOut(BaseModel):
    """A rule on one series."""

    labels: dict[str, str]
    state: State
    since: UtcTime
    value: float | None
    alert_id: str | None


class RuleOut(BaseModel):
    """A rule; `state` is the worst of its series, or `no_data` without series."""

    id: str
    name: str
    metric: str
    condition: Kind
    threshold: float | None
    duration: str
    severity: Severity
    channel_id: str | None
    channel_ids: list[str]
    labels: dict[str, str]
    recovery_threshold: float | None
    repeat_interval: str | None
    enabled: bool
    state: Literal["ok", "pending", "firing", "no_data", "disabled"]
    silenced_until: UtcTime | None
    silence_reason: str | None
    created_at: UtcTime
    updated_at: UtcTime


class RuleDetails(RuleOut):
    """A rule with its series, those that are not ok first."""

    series: list[SeriesOut]


class Silence(Body):
    """A silence: `duration` or `until`, and a reason."""

    duration: Duration | None = None
    until: datetime | None = None
    reason: Reason = ""


class Acknowledgement(Body):
    """An acknowledgement with a note."""

    note: Reason = ""


class NewChannel(Body):
    """A new channel; the fields of `config` depend on `type`."""

    name: Name
    type: ChannelType
    config: dict[str, Any]


class ChannelChange(Body):
    """A change of a channel. A secret of `config` given back as shown stays."""

    name: Name | None = None
    config: dict[str, Any] | None = None


class ChannelOut(BaseModel):
    """A channel, its secrets hidden; `rules` are the ids of those that use it.

    It is `untried` until a first message arrived, also where `last_error` says why none did, and `failing` where the
    last one did not.
    """

    id: str
    name: str
    type: ChannelType
    config: dict[str, Any]
    status: Literal["ok", "failing", "untried"]
    last_error: str | None
    last_error_at: UtcTime | None
    last_sent_at: UtcTime | None
    waiting: int
    rules: list[str]
    created_at: UtcTime
    updated_at: UtcTime


class Trial(BaseModel):
    """The outcome of a test notification; `status` and `response` are the receiver's, `reason` is ours."""

    delivered: bool
    status: int | None
    response: str | None
    reason: str | None
    duration_ms: int


class RemoveChannel(Query):
    """Whether the rules that use the channel do without it."""

    detach: bool = False


class AlertOut(BaseModel):
    """An alert with its reason and `resolution`."""

    id: str
    rule_id: str
    rule: str
    metric: str
    condition: Kind
    severity: Severity
    labels: dict[str, str]
    value: float | None
    threshold: float | None
    summary: str
    state: Literal["firing", "resolved"]
    fired_at: UtcTime
    resolved_at: UtcTime | None
    resolution: Literal["recovered", "no_data", "rule_changed", "rule_disabled", "rule_removed"] | None
    acknowledged_at: UtcTime | None
    acknowledged_by: str | None
    note: str | None


class NotificationOut(BaseModel):
    """A message about an alert to one channel."""

    channel_id: str
    kind: Literal["fired", "repeated", "resolved"]
    state: Literal["waiting", "sent", "given_up"]
    attempts: int
    error: str | None
    created_at: UtcTime
    done_at: UtcTime | None


class AlertDetails(AlertOut):
    """An alert with the messages about it."""

    notifications: list[NotificationOut]


class ActiveQuery(Query):
    """Which of the alerts that fire."""

    severity: Severity | None = None
    rule_id: str | None = None


class HistoryQuery(ActiveQuery, Page):
    """Which alerts, newest first."""

    state: Literal["firing", "resolved"] | None = None


class MetricOut(BaseModel):
    """A metric that a rule may be on."""

    name: str
    unit: str
    help: str
    labels: list[str]
