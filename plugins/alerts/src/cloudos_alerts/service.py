"""Rules: added, changed, silenced and removed, in the database and in the evaluation at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cloudos_sdk import Conflict, Context, Event, InvalidRequest, NotFound, iso, new_id
from cloudos_sdk.capabilities import Apps
from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session

from cloudos_alerts.evaluation.engine import RuleEvaluator
from cloudos_alerts.events import (
    AlertRuleAdded,
    AlertRuleChanged,
    AlertRuleRemoved,
    AlertRuleSilenced,
    AlertRuleUnsilenced,
)
from cloudos_alerts.models import Channel, Rule
from cloudos_alerts.rules.conditions import State
from cloudos_alerts.rules.durations import seconds_of, span
from cloudos_alerts.rules.event_metrics import is_event
from cloudos_alerts.rules.metric_catalog import MetricCatalog, nearest, unknown
from cloudos_alerts.rules.rule_state import RuleState
from cloudos_alerts.schemas import NewRule, RuleChange, Silence
from cloudos_alerts.validation import checked

CHANNEL = Channel.__table__
RULE = Rule.__table__
_MOST = 1000
_EMPTY: Mapping[str, Any] = {"labels": {}, "channel_ids": []}
_LONGEST_SILENCE = timedelta(days=366)


class RuleService:
    """The rules of the node."""

    def __init__(self, ctx: Context, engine: RuleEvaluator, catalogue: MetricCatalog) -> None:
        self._ctx = ctx
        self._engine = engine
        self._catalogue = catalogue

    async def listed(self) -> list[dict[str, Any]]:
        """Return all rules as the API shows them, oldest first."""
        statement = select(RULE).order_by(RULE.c.created_at, RULE.c.id)
        return [self._shown(row) for row in await self._ctx.db.read(lambda s: s.execute(statement).all())]

    async def get(self, rule_id: str) -> dict[str, Any]:
        """Return one rule with its series. Raises NotFound."""
        row = await self._ctx.db.read(lambda s: _row(s, rule_id))
        live = self._engine.rules.get(rule_id)
        series = sorted(live.series.values(), key=lambda s: (s.state == "ok", s.labels)) if live is not None else []
        shown = [
            {
                "labels": dict(s.labels),
                "state": s.state,
                "since": iso(s.since),
                "value": s.value,
                "alert_id": s.alert_id,
            }
            for s in series
        ]
        return {**self._shown(row), "series": shown}

    async def add(self, data: NewRule) -> dict[str, Any]:
        """Add a rule. Raises InvalidRequest for an unknown metric, label or channel."""
        data = await self._of_apps(data)
        self._catalogue.check(data.metric, data.labels)
        rule_id = new_id("rule")

        def store(session: Session) -> None:
            count = session.execute(select(func.count()).select_from(RULE)).scalar_one()
            if count >= _MOST:
                raise Conflict("too_many_rules", f"There are {count} rules; remove one first.")
            _check_channels(session, data)
            insert_rule(session, self._ctx, rule_id, data, made_by_node=False)
            self._engine.put(session, RuleState.of(_row(session, rule_id)))

        await self._engine.change(store)
        return await self.get(rule_id)

    async def change(self, rule_id: str, data: RuleChange) -> dict[str, Any]:
        """Change a rule; its firing alerts end if the condition changes. Raises NotFound, InvalidRequest."""
        given = data.model_dump(exclude_unset=True)
        given |= {
            name: empty for name, empty in (("labels", {}), ("channel_ids", [])) if given.get(name, empty) is None
        }

        if given.get("labels"):
            given["labels"] = await self._app_ids(given["labels"])

        def store(session: Session) -> None:
            before = _row(session, rule_id)
            new = checked(NewRule, {**_as_given(before, given), **given})
            if (new.metric, new.labels) != (before.metric, before.labels):
                self._catalogue.check(new.metric, new.labels)
            _check_channels(session, new)
            self._set(session, rule_id, **_columns(new))
            self._emit(session, AlertRuleChanged, rule_id, f"Changed the alert rule {new.name}", name=new.name)
            rule, old = RuleState.of(_row(session, rule_id)), self._engine.rules[rule_id]
            if not rule.enabled:
                self._engine.end(session, old, "rule_disabled")
            elif not rule.asks_the_same(old):
                self._engine.end(session, old, "rule_changed")
            self._engine.put(session, rule)

        await self._engine.change(store)
        return await self.get(rule_id)

    async def _of_apps(self, data: NewRule) -> NewRule:
        return data.model_copy(update={"labels": await self._app_ids(data.labels)}) if data.labels else data

    async def _app_ids(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return labels with an app's name replaced by its id. Raises InvalidRequest for an unknown app."""
        apps, named = self._ctx.find(Apps), labels.get("app")
        if apps is None or named is None:
            return dict(labels)
        names = {app.id: app.name for app in await apps.list_apps()}
        found = named if named in names else next((id for id, name in names.items() if name == named), None)
        if found is None:
            raise unknown("labels.app", f"There is no app {named!r}.", nearest(named, list(names.values())))
        return {**labels, "app": found}

    async def remove(self, rule_id: str) -> None:
        """Remove a rule and end its firing alerts. Raises NotFound."""

        def store(session: Session) -> None:
            row = _row(session, rule_id)
            session.execute(delete(RULE).where(RULE.c.id == rule_id))
            self._emit(session, AlertRuleRemoved, rule_id, f"Removed the alert rule {row.name}", name=row.name)
            self._engine.end(session, self._engine.rules[rule_id], "rule_removed")
            self._engine.drop(session, rule_id)

        await self._engine.change(store)

    async def silence(self, rule_id: str, data: Silence) -> dict[str, Any]:
        """Silence a rule for a time; it is still evaluated. Raises NotFound, InvalidRequest."""
        until = self._until(data)

        def store(session: Session) -> None:
            row = _row(session, rule_id)
            self._set(session, rule_id, silenced_until=until, silence_reason=data.reason or None)
            why = f": {data.reason}" if data.reason else ""
            details = f"Silenced the alert rule {row.name} until {iso(until)}{why}"
            fields = {"name": row.name, "until": iso(until), "reason": data.reason}
            self._emit(session, AlertRuleSilenced, rule_id, details, **fields)
            self._engine.put(session, RuleState.of(_row(session, rule_id)))

        await self._engine.change(store)
        return await self.get(rule_id)

    async def unsilence(self, rule_id: str) -> dict[str, Any]:
        """End a silence; held notifications follow at the next evaluation. Raises NotFound."""

        def store(session: Session) -> None:
            row = _row(session, rule_id)
            if row.silenced_until is not None:
                self._set(session, rule_id, silenced_until=None, silence_reason=None)
                details = f"The alert rule {row.name} notifies again"
                self._emit(session, AlertRuleUnsilenced, rule_id, details, name=row.name)
            self._engine.put(session, RuleState.of(_row(session, rule_id)))

        await self._engine.change(store)
        return await self.get(rule_id)

    def _until(self, data: Silence) -> datetime:
        now = self._ctx.clock.now()
        if (data.duration is None) == (data.until is None):
            raise InvalidRequest.field("duration", "give either duration or until")
        span_given = data.duration
        until = _aware(data.until) if span_given is None else now + timedelta(seconds=seconds_of(span_given))
        if not now < until <= now + _LONGEST_SILENCE:
            field = "until" if span_given is None else "duration"
            raise InvalidRequest.field(field, "must lie ahead, by a year at most")
        return until

    def _set(self, session: Session, rule_id: str, **values: Any) -> None:
        values["updated_at"] = self._ctx.clock.now()
        session.execute(update(RULE).where(RULE.c.id == rule_id).values(**values))

    def _emit(self, session: Session, event: type[Event], resource: str, details: str, **fields: Any) -> None:
        self._ctx.events.emit(session, event(resource=resource, details=details, **fields))

    def _shown(self, row: Any) -> dict[str, Any]:
        live, now = self._engine.rules.get(row.id), self._ctx.clock.now()
        silenced = row.silenced_until is not None and row.silenced_until > now
        quiet: State = "ok" if is_event(row.metric) else "no_data"
        return {
            **_as_given(row, {}),
            "id": row.id,
            "channel_id": row.channel_ids[0] if row.channel_ids else None,
            "state": live.state(quiet) if live is not None else quiet,
            "silenced_until": iso(row.silenced_until) if silenced else None,
            "silence_reason": row.silence_reason if silenced else None,
            "created_at": iso(row.created_at),
            "updated_at": iso(row.updated_at),
        }


def insert_rule(session: Session, ctx: Context, rule_id: str, data: NewRule, *, made_by_node: bool) -> None:
    """Add the row of a rule and tell of it, in the transaction in hand."""
    now = ctx.clock.now()
    own = {"id": rule_id, "made_by_node": made_by_node, "created_at": now, "updated_at": now}
    session.execute(insert(RULE).values(**_columns(data), **own))
    details = f"Added the alert rule {data.name}"
    ctx.events.emit(session, AlertRuleAdded(resource=rule_id, name=data.name, details=details))


def _columns(data: NewRule) -> dict[str, Any]:
    values = data.model_dump(exclude={"channel_id", "channel_ids", "duration", "repeat_interval"})
    repeat = data.repeat_interval
    return {
        **values,
        "duration": seconds_of(data.duration),
        "repeat_interval": seconds_of(repeat) if repeat is not None else None,
        "channel_ids": data.channels(),
    }


def _as_given(row: Any, beside: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as a request body; without its channels if others are given in `beside`."""
    names = ("name", "metric", "condition", "threshold", "severity", "labels", "recovery_threshold", "enabled")
    found = {name: getattr(row, name) for name in names}
    found["duration"] = span(row.duration)
    found["repeat_interval"] = span(row.repeat_interval) if row.repeat_interval else None
    if "channel_id" not in beside and "channel_ids" not in beside:
        found["channel_ids"] = list(row.channel_ids)
    return found


def _check_channels(session: Session, data: NewRule) -> None:
    names = {row.id: row.name for row in session.execute(select(CHANNEL.c.id, CHANNEL.c.name))}
    for place, channel_id in enumerate(data.channels()):
        if channel_id not in names:
            near = [f"{id} ({names[id]})" for id in nearest(channel_id, names) or list(names)[:3]]
            path = "channel_id" if channel_id == data.channel_id else f"channel_ids.{place}"
            raise unknown(path, f"There is no channel {channel_id!r}.", near)


def _row(session: Session, rule_id: str) -> Any:
    row = session.execute(select(RULE).where(RULE.c.id == rule_id)).first()
    if row is None:
        raise NotFound("rule", rule_id)
    return row


def _aware(moment: datetime | None) -> datetime:
    if moment is None:
        raise InvalidRequest.field("until", "must be a time")
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest.field("until", "is beyond all calendars") from None
