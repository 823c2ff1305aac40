"""Alerts: firing ones, past ones and acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cloudos_sdk import Context, InvalidRequest, NotFound, caller, iso
from sqlalchemy import Select, delete, select, update
from sqlmodel import Session

from cloudos_alerts.evaluation.engine import RuleEvaluator
from cloudos_alerts.evaluation.event_counts import EventCounts
from cloudos_alerts.events import AlertAcknowledged
from cloudos_alerts.models import Alert, Notification, Rule
from cloudos_alerts.schemas import ActiveQuery, HistoryQuery

ALERT = Alert.__table__
NOTIFICATION = Notification.__table__
RULE = Rule.__table__
_PLAIN = (
    "id",
    "rule_id",
    "rule",
    "metric",
    "condition",
    "severity",
    "labels",
    "value",
    "threshold",
    "summary",
    "state",
    "resolution",
    "acknowledged_by",
    "note",
)


class AlertHistory:
    """Reads and acknowledges alerts."""

    def __init__(self, ctx: Context, engine: RuleEvaluator, occurrences: EventCounts) -> None:
        self._ctx = ctx
        self._engine = engine
        self._occurrences = occurrences

    async def active(self, query: ActiveQuery) -> list[dict[str, Any]]:
        """Return the firing alerts, newest first."""
        statement = _filtered(query).where(ALERT.c.state == "firing").order_by(ALERT.c.seq.desc())
        return [shown(row) for row in await self._ctx.db.read(lambda s: s.execute(statement).all())]

    async def page(self, query: HistoryQuery) -> list[dict[str, Any]]:
        """Return a page of all alerts, newest first. Raises InvalidRequest for a `before` or `after` that is none."""
        statement = _filtered(query)
        if query.state is not None:
            statement = statement.where(ALERT.c.state == query.state)

        def read(session: Session) -> Sequence[Any]:
            found = statement
            if query.before is not None:
                found = found.where(ALERT.c.seq < _place(session, "before", query.before))
            if query.after is None:
                return session.execute(found.order_by(ALERT.c.seq.desc()).limit(query.limit)).all()
            found = found.where(ALERT.c.seq > _place(session, "after", query.after))
            return session.execute(found.order_by(ALERT.c.seq).limit(query.limit)).all()[::-1]

        return [shown(row) for row in await self._ctx.db.read(read)]

    async def get(self, alert_id: str) -> dict[str, Any]:
        """Return one alert with the messages about it. Raises NotFound."""

        def read(session: Session) -> tuple[Any, Sequence[Any]]:
            told = select(NOTIFICATION).where(NOTIFICATION.c.alert_id == alert_id).order_by(NOTIFICATION.c.seq)
            return _row(session, alert_id), session.execute(told.limit(500)).all()

        row, told = await self._ctx.db.read(read)
        names = ("channel_id", "kind", "state", "attempts", "error")
        notifications = [
            {**{name: getattr(n, name) for name in names}, "created_at": iso(n.created_at), "done_at": _time(n.done_at)}
            for n in told
        ]
        return {**shown(row), "notifications": notifications}

    async def acknowledge(self, alert_id: str, note: str) -> dict[str, Any]:
        """Take notice of an alert: it is not repeated any more. Raises NotFound."""
        await self._engine.change(lambda session: self._take_notice(session, [_row(session, alert_id)], note))
        return await self.get(alert_id)

    async def acknowledge_rule(self, rule_id: str, note: str) -> list[dict[str, Any]]:
        """Take notice of all that fires of a rule; return it. Raises NotFound."""

        def store(session: Session) -> None:
            if session.execute(select(RULE.c.id).where(RULE.c.id == rule_id)).first() is None:
                raise NotFound("rule", rule_id)
            firing = select(ALERT).where(ALERT.c.rule_id == rule_id, ALERT.c.state == "firing")
            self._take_notice(session, session.execute(firing).all(), note)

        await self._engine.change(store)
        return await self.active(ActiveQuery(rule_id=rule_id))

    async def prune(self) -> None:
        """Delete ended alerts that are too old, with the messages about them, and events that count no longer."""
        now = self._ctx.clock.now()
        before = now - timedelta(days=self._ctx.settings.history_days)
        old = select(ALERT.c.id).where(ALERT.c.state == "resolved", ALERT.c.resolved_at < before)

        def drop(session: Session) -> None:
            over = NOTIFICATION.c.state != "waiting"
            session.execute(delete(NOTIFICATION).where(over, NOTIFICATION.c.alert_id.in_(old)))
            session.execute(delete(ALERT).where(ALERT.c.state == "resolved", ALERT.c.resolved_at < before))
            self._occurrences.prune(session, now)

        await self._ctx.db.write(drop)

    def _take_notice(self, session: Session, rows: Sequence[Any], note: str) -> None:
        who = caller().actor().name
        for row in rows:
            values = {"acknowledged_at": self._ctx.clock.now(), "acknowledged_by": who, "note": note or row.note}
            session.execute(update(ALERT).where(ALERT.c.id == row.id).values(**values))
            details = f"Acknowledged the alert of {row.rule}" + (f": {note}" if note else "")
            self._ctx.events.emit(session, AlertAcknowledged(resource=row.id, rule=row.rule, details=details))
        noticed = {row.id for row in rows}
        self._ctx.db.after_commit(session, lambda: self._mark(noticed))

    def _mark(self, alert_ids: set[str]) -> None:
        for rule in self._engine.rules.values():
            for series in rule.series.values():
                if series.alert_id in alert_ids:
                    series.acknowledged = True


def shown(row: Any) -> dict[str, Any]:
    """Return an alert as the API shows it."""
    found = {name: getattr(row, name) for name in _PLAIN}
    times = {name: _time(getattr(row, name)) for name in ("fired_at", "resolved_at", "acknowledged_at")}
    return found | times


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def _filtered(query: ActiveQuery) -> Select[Any]:
    statement: Select[Any] = select(ALERT)
    if query.severity is not None:
        statement = statement.where(ALERT.c.severity == query.severity)
    if query.rule_id is not None:
        statement = statement.where(ALERT.c.rule_id == query.rule_id)
    return statement


def _place(session: Session, name: str, alert_id: str) -> int:
    seq = session.execute(select(ALERT.c.seq).where(ALERT.c.id == alert_id)).scalar()
    if seq is None:
        raise InvalidRequest.field(name, f"there is no alert {alert_id!r}")
    return int(seq)


def _row(session: Session, alert_id: str) -> Any:
    row = session.execute(select(ALERT).where(ALERT.c.id == alert_id)).first()
    if row is None:
        raise NotFound("alert", alert_id)
    return row
