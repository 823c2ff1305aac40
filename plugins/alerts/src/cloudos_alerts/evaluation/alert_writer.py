"""Writes the changes of an evaluation (states, alerts, events, notifications) in one transaction."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from cloudos_sdk import Context
from cloudos_sdk.events import AlertFired, AlertResolved
from sqlalchemy import bindparam, delete, insert, select, update
from sqlmodel import Session

from cloudos_alerts.evaluation import messages
from cloudos_alerts.models import Alert, Notification, Progress
from cloudos_alerts.models import SeriesRow as SeriesRow
from cloudos_alerts.rules.rule_state import Change, RuleState, text

ALERT = Alert.__table__
NOTIFICATION = Notification.__table__
PROGRESS = Progress.__table__
SERIES = SeriesRow.__table__
PROGRESS_ID = 1
_DROP = delete(SERIES).where(SERIES.c.rule_id == bindparam("rule"), SERIES.c.labels == bindparam("of"))


class AlertWriter:
    """The rows behind the states in memory."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._node = ctx.settings.node_name or socket.gethostname()

    def store(self, session: Session, now: datetime, changes: Sequence[Change]) -> None:
        """Store some changes; rows of one kind together, since many series may change at once."""
        self._keep_series(session, changes)
        begun = [_alert(change, now) for change in changes if change.turn == "fired"]
        if begun:
            session.connection().execute(insert(ALERT), begun)
        for change in changes:
            if change.turn == "fired":
                event = AlertFired(details=f"{change.rule.name}: {change.summary}", **_shared(change))
                self._ctx.events.emit(session, event)
            elif change.turn == "resolved":
                self._end(session, now, change)
            if change.notify is not None:
                self._notify(session, now, change)

    def looked(self, session: Session, now: datetime) -> None:
        """Note when was last looked."""
        session.execute(update(PROGRESS).where(PROGRESS.c.id == PROGRESS_ID).values(looked_at=now))

    def forget_series(self, session: Session, rule: RuleState) -> None:
        """Delete the series of a rule."""
        session.execute(delete(SERIES).where(SERIES.c.rule_id == rule.id))

    def _keep_series(self, session: Session, changes: Iterable[Change]) -> None:
        """Store the states that are not ok; only the last of several changes of a series."""
        last = {(change.rule.id, text(change.series.labels)): change for change in changes}
        if not last:
            return
        connection = session.connection()
        connection.execute(_DROP, [{"rule": rule_id, "of": labels} for rule_id, labels in last])
        kept = [
            {
                "rule_id": rule_id,
                "labels": labels,
                "state": change.state,
                "since": change.since,
                "value": change.series.value,
                "alert_id": change.alert_id if change.state == "firing" else None,
            }
            for (rule_id, labels), change in last.items()
            if change.state != "ok"
        ]
        if kept:
            connection.execute(insert(SERIES), kept)

    def _end(self, session: Session, now: datetime, change: Change) -> None:
        values = {"state": "resolved", "resolved_at": now, "resolution": change.resolution}
        session.execute(update(ALERT).where(ALERT.c.id == change.alert_id).values(**values))
        event = AlertResolved(details=f"{change.rule.name}: {change.ending}", **_shared(change))
        self._ctx.events.emit(session, event)

    def _notify(self, session: Session, now: datetime, change: Change) -> None:
        alert = session.execute(select(ALERT).where(ALERT.c.id == change.alert_id)).one()
        kind, rule = str(change.notify), change.rule
        waiting = select(NOTIFICATION.c.channel_id).where(
            NOTIFICATION.c.alert_id == alert.id, NOTIFICATION.c.state == "waiting"
        )
        told = set(session.execute(waiting).scalars()) if kind == "repeated" else set()
        for channel_id in rule.channel_ids:
            if channel_id in told:  # the first message has not gone out yet: one that says "still" adds nothing
                continue
            values = {
                "alert_id": alert.id,
                "channel_id": channel_id,
                "kind": kind,
                "level": "resolved" if kind == "resolved" else rule.severity,
                "title": messages.title(kind, rule.severity, rule.name, self._node),
                "body": messages.body(kind, alert.summary, alert.fired_at, alert.id, change.ending),
                "state": "waiting",
                "attempts": 0,
                "created_at": now,
            }
            session.execute(insert(NOTIFICATION).values(**values))
        session.execute(update(ALERT).where(ALERT.c.id == alert.id).values(notified_at=now))


def _alert(change: Change, now: datetime) -> dict[str, Any]:
    rule, series = change.rule, change.series
    return {
        "id": change.alert_id,
        "rule_id": rule.id,
        "rule": rule.name,
        "metric": rule.metric,
        "condition": rule.condition.kind,
        "severity": rule.severity,
        "labels": dict(series.labels),
        "value": series.value,
        "threshold": rule.condition.threshold,
        "summary": change.summary,
        "state": "firing",
        "fired_at": now,
    }


def _shared(change: Change) -> dict[str, Any]:
    rule, series = change.rule, change.series
    return {
        "resource": change.alert_id,
        "rule": rule.name,
        "severity": rule.severity,
        "metric": rule.metric,
        "value": series.value,
        "labels": dict(series.labels),
    }
