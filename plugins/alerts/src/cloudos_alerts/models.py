"""Tables: rules, channels, states that are not ok, alerts, pending notifications and counted events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import JSON, BigInteger, Column, Index, Integer, Text
from sqlmodel import Field

Base: Any = model_base("alerts")

SEQ = BigInteger().with_variant(Integer(), "sqlite")


class Channel(Base, table=True):
    """A way to notify; `config` is encrypted whole. `failures` counts from the last success on."""

    id: str = Field(primary_key=True)
    name: str
    type: str
    config: str = Field(sa_column=Column(Text, nullable=False))
    failing: bool = False
    failures: int = 0
    retry_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_error: str | None = Field(default=None, sa_column=Column(Text))
    last_error_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Rule(Base, table=True):
    """A rule; `duration` and `repeat_interval` in seconds. `made_by_node` marks one of the first rules."""

    id: str = Field(primary_key=True)
    name: str
    metric: str
    condition: str
    threshold: float | None = None
    recovery_threshold: float | None = None
    duration: int
    labels: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    severity: str
    channel_ids: list[str] = Field(sa_column=Column(JSON, nullable=False))
    repeat_interval: int | None = None
    enabled: bool
    silenced_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    silence_reason: str | None = Field(default=None, sa_column=Column(Text))
    made_by_node: bool
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class SeriesRow(Base, table=True):
    """A series of a rule that is pending, firing or without data; `labels` is the JSON of its sorted pairs."""

    __tablename__ = "alerts_series"

    rule_id: str = Field(primary_key=True)
    labels: str = Field(sa_column=Column(Text, primary_key=True))
    state: str
    since: datetime = Field(sa_type=UtcDateTime)
    value: float | None = None
    alert_id: str | None = None


class Alert(Base, table=True):
    """An alert, from firing to its end and after. `seq` gives the order."""

    __table_args__ = (
        Index("ix_alerts_alert_state_seq", "state", "seq"),
        Index("ix_alerts_alert_rule_id_seq", "rule_id", "seq"),
    )

    seq: int | None = Field(default=None, sa_column=Column(SEQ, primary_key=True, autoincrement=True))
    id: str = Field(unique=True)
    rule_id: str
    rule: str
    metric: str
    condition: str
    severity: str
    labels: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    value: float | None = None
    threshold: float | None = None
    summary: str = Field(sa_column=Column(Text, nullable=False))
    state: str
    fired_at: datetime = Field(sa_type=UtcDateTime)
    resolved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    resolution: str | None = None
    acknowledged_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    acknowledged_by: str | None = None
    note: str | None = Field(default=None, sa_column=Column(Text))
    notified_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Notification(Base, table=True):
    """A message to one channel, from the transaction that caused it until it is sent or given up."""

    __table_args__ = (
        Index("ix_alerts_notification_state_channel_id", "state", "channel_id"),
        Index("ix_alerts_notification_alert_id", "alert_id"),
    )

    seq: int | None = Field(default=None, sa_column=Column(SEQ, primary_key=True, autoincrement=True))
    alert_id: str
    channel_id: str
    kind: str
    level: str
    title: str = Field(sa_column=Column(Text, nullable=False))
    body: str = Field(sa_column=Column(Text, nullable=False))
    state: str
    attempts: int = 0
    error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_type=UtcDateTime)
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Occurrence(Base, table=True):
    """An event that counts in a metric `event.…`."""

    __table_args__ = (Index("ix_alerts_occurrence_metric_labels", "metric", "labels"),)

    event_id: str = Field(primary_key=True)
    metric: str
    labels: str = Field(sa_column=Column(Text, nullable=False))
    time: datetime = Field(sa_type=UtcDateTime)
    details: str = Field(sa_column=Column(Text, nullable=False))


class Progress(Base, table=True):
    """One row: when was last looked, and whether the first rules were made."""

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    looked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    first_rules: bool
