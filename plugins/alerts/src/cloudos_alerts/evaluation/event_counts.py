"""The events that count: kept as long as they do, so that rules on them survive a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cloudos_sdk import Context, Envelope
from cloudos_sdk.capabilities import Sample
from sqlalchemy import delete, insert, select
from sqlmodel import Session

from cloudos_alerts.models import Occurrence
from cloudos_alerts.rules.conditions import Labels
from cloudos_alerts.rules.event_metrics import ended_by, is_event, labels_of, lasts, metric_of
from cloudos_alerts.rules.rule_state import RuleState, labels_in, text

TABLE = Occurrence.__table__
_LONGEST = timedelta(days=30)
Key = tuple[str, Labels]


@dataclass
class EventCount:
    """The counted events of one type and resource: times, oldest first, and details of the newest."""

    times: list[datetime] = field(default_factory=list)
    details: str = ""


class EventCounts:
    """Counts events by metric and labels."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._changed: Callable[[], None] = _nobody
        self._window = timedelta(seconds=ctx.settings.event_seconds)
        self._wanted: frozenset[str] = frozenset()
        self._counted: dict[Key, EventCount] = {}

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever a count changes."""
        self._changed = changed

    async def load(self) -> None:
        """Load the counts from before the stop."""
        statement = select(TABLE).order_by(TABLE.c.time, TABLE.c.event_id)
        for row in await self._ctx.db.read(lambda s: s.execute(statement).all()):
            self._add((row.metric, labels_in(row.labels)), row.time, row.details)

    def want(self, rules: Iterable[RuleState]) -> None:
        """Count the events that these rules use."""
        self._wanted = frozenset(rule.metric for rule in rules if rule.enabled and is_event(rule.metric))

    async def handle(self, event: Envelope) -> None:
        """Count an event once, even if delivered repeatedly, and end the counts that it resolves."""
        counts = metric_of(event.type) in self._wanted
        keys = [(metric_of(type), labels_of(event, type)) for type in ended_by(event.type)]
        ends = [key for key in keys if key in self._counted]
        if not counts and not ends:
            return
        key = (metric_of(event.type), labels_of(event))

        def store(session: Session) -> bool:
            for metric, labels in ends:
                older = (TABLE.c.metric == metric, TABLE.c.labels == text(labels), TABLE.c.time <= event.time)
                session.execute(delete(TABLE).where(*older))
            known = select(TABLE.c.event_id).where(TABLE.c.event_id == event.id)
            if not counts or session.execute(known).first() is not None:
                return False
            values = {"event_id": event.id, "metric": key[0], "labels": text(key[1])}
            session.execute(insert(TABLE).values(**values, time=event.time, details=event.details))
            return True

        added = await self._ctx.db.write(store)
        for ended in ends:
            self._end(ended, event.time)
        if added:
            self._add(key, event.time, event.details)
        self._changed()

    def samples(self, now: datetime) -> list[Sample]:
        """Return the current counts by type and resource, dropping expired events."""
        found = []
        for key, counted in list(self._counted.items()):
            since = now - (_LONGEST if lasts(key[0]) else self._window)
            counted.times = [time for time in counted.times if time > since]
            if not counted.times:
                del self._counted[key]
            elif key[0] in self._wanted:
                found.append(Sample(key[0], float(len(counted.times)), key[1]))
        return found

    def details(self, metric: str, labels: Labels) -> str:
        """Return the details of the newest counted event, or an empty text."""
        counted = self._counted.get((metric, labels))
        return counted.details if counted is not None else ""

    def prune(self, session: Session, now: datetime) -> None:
        """Delete expired events."""
        session.execute(delete(TABLE).where(TABLE.c.time < now - _LONGEST))
        stays = {metric for metric in session.execute(select(TABLE.c.metric).distinct()).scalars() if lasts(metric)}
        over = (TABLE.c.metric.not_in(stays), TABLE.c.time < now - self._window)
        session.execute(delete(TABLE).where(*over))

    def _add(self, key: Key, time: datetime, details: str) -> None:
        counted = self._counted.setdefault(key, EventCount())
        counted.times.append(time)
        counted.details = details

    def _end(self, key: Key, until: datetime) -> None:
        counted = self._counted.get(key)
        if counted is not None:
            counted.times = [time for time in counted.times if time > until]
            if not counted.times:
                del self._counted[key]


def _nobody() -> None:
    """Be told of nothing."""
