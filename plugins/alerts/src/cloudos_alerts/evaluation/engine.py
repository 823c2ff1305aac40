"""The evaluation of rules: samples are checked against rules in memory; changes are stored before they take effect.

A look at 500 rules takes milliseconds; it lets others have the loop every two of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from cloudos_sdk import Context, new_id, to_the_end
from cloudos_sdk.capabilities import Sample
from sqlmodel import Session

from cloudos_alerts.evaluation import messages
from cloudos_alerts.evaluation.alert_writer import AlertWriter
from cloudos_alerts.evaluation.event_counts import EventCounts
from cloudos_alerts.rules.conditions import Labels, RuleSeries, follow, shift, unseen
from cloudos_alerts.rules.event_metrics import is_event
from cloudos_alerts.rules.metric_catalog import MetricCatalog
from cloudos_alerts.rules.rule_state import Change, Kind, RuleState

T = TypeVar("T")

_SLICE = 0.002
_AT_ONCE = 100
_NOTED_EVERY = timedelta(minutes=1)
_FORGOTTEN_AFTER = timedelta(days=1)


class RuleEvaluator:
    """The rules with the states of their series, and when was last looked. Rows of rules change by `change`."""

    def __init__(
        self,
        ctx: Context,
        ledger: AlertWriter,
        occurrences: EventCounts,
        catalogue: MetricCatalog,
        wake_sender: Callable[[], None],
    ) -> None:
        self._ctx = ctx
        self._ledger = ledger
        self._occurrences = occurrences
        self._catalogue = catalogue
        self._wake_sender = wake_sender
        self._patience = timedelta(seconds=ctx.settings.patience_seconds)
        self._tolerance = timedelta(seconds=ctx.settings.outage_seconds)
        self.looked_at: datetime | None = None
        self._noted_at: datetime | None = None
        self._units: dict[str, str] = {}
        self.lock = asyncio.Lock()
        self.rules: dict[str, RuleState] = {}

    def load(self, rules: Iterable[RuleState], looked_at: datetime | None) -> None:
        """Load the rules with the states of their series."""
        self.rules = {rule.id: rule for rule in rules}
        self.looked_at = self._noted_at = looked_at
        self._occurrences.want(self.rules.values())

    async def change(self, store: Callable[[Session], T]) -> T:
        """Change rows of rules or alerts between two evaluations; memory follows the commit of `store`."""
        async with self.lock:
            return await to_the_end(self._ctx.db.write(store))

    def put(self, session: Session, rule: RuleState) -> None:
        """Take a new or changed rule once the transaction in hand is committed."""
        self._ctx.db.after_commit(session, lambda: self._put(rule))

    def drop(self, session: Session, rule_id: str) -> None:
        """Forget a rule once the transaction in hand is committed."""
        self._ctx.db.after_commit(session, lambda: self._drop(rule_id))

    def _put(self, rule: RuleState) -> None:
        """Put a rule into memory; its series stay if its condition is unchanged."""
        before = self.rules.get(rule.id)
        if before is not None and before.asks_the_same(rule) and rule.enabled:
            rule.series = before.series
        self.rules[rule.id] = rule
        self._occurrences.want(self.rules.values())

    def _drop(self, rule_id: str) -> None:
        self.rules.pop(rule_id, None)
        self._occurrences.want(self.rules.values())

    def end(self, session: Session, rule: RuleState, resolution: str) -> None:
        """End the firing alerts of a rule in the current transaction, notify their receivers, and drop its series."""
        now, changes = self._ctx.clock.now(), []
        for series in rule.series.values():
            if series.state == "firing":
                change = Change(rule, series, "ok", now, series.alert_id, "resolved", resolution)
                change.ending = messages.ending(resolution, "", None, "")
                if series.notified_at is not None and rule.channel_ids and not rule.silenced(now):
                    change.notify = "resolved"
                changes.append(change)
        self._ledger.store(session, now, changes)
        self._ledger.forget_series(session, rule)
        if any(change.notify for change in changes):
            self._ctx.db.after_commit(session, self._wake_sender)

    def fires(self) -> int:
        """Return how many series fire."""
        return sum(s.state == "firing" for rule in self.rules.values() for s in rule.series.values())

    async def evaluate(self, now: datetime, samples: Sequence[Sample]) -> None:
        """Look at all rules: `samples` is all that is measured at `now`."""
        async with self.lock:
            by_metric: dict[str, list[Sample]] = defaultdict(list)
            for sample in samples:
                by_metric[sample.name].append(sample)
            shifted = self._leave_out_unseen_time(now)
            self.looked_at = now
            await self._look(now, by_metric, self.rules.values(), shifted)

    async def evaluate_events(self, now: datetime) -> None:
        """Look at the rules on events only."""
        async with self.lock:
            await self._look(now, defaultdict(list), [r for r in self.rules.values() if is_event(r.metric)], [])

    async def _look(
        self, now: datetime, by_metric: dict[str, list[Sample]], rules: Iterable[RuleState], changes: list[Change]
    ) -> None:
        for sample in self._occurrences.samples(now):
            by_metric[sample.name].append(sample)
        self._units.clear()
        begun = time.perf_counter()
        for rule in rules:
            if rule.enabled:
                self._judge(rule, by_metric.get(rule.metric, ()), now, changes)
            if time.perf_counter() - begun > _SLICE:
                await asyncio.sleep(0)
                begun = time.perf_counter()
        await self._store(now, changes)

    async def _store(self, now: datetime, changes: list[Change]) -> None:
        active = any(s.state in ("pending", "firing") for rule in self.rules.values() for s in rule.series.values())
        noting = active or self._noted_at is None or not timedelta(0) <= now - self._noted_at < _NOTED_EVERY
        if not changes and not noting:
            return

        for start in range(0, max(1, len(changes)), _AT_ONCE):
            await self._store_some(now, changes[start : start + _AT_ONCE])
        self._noted_at = now

    async def _store_some(self, now: datetime, changes: Sequence[Change]) -> None:
        """Store some changes in a short transaction; each is independent."""

        def write(session: Session) -> None:
            self._ledger.store(session, now, changes)
            if self.looked_at is not None:
                self._ledger.looked(session, self.looked_at)
            self._ctx.db.after_commit(session, mirror)

        def mirror() -> None:
            for change in changes:
                change.apply(now)
            if any(change.notify for change in changes):
                self._wake_sender()

        await to_the_end(self._ctx.db.write(write))

    def _leave_out_unseen_time(self, now: datetime) -> list[Change]:
        """Exclude unmeasured time from all durations; return the changes to store."""
        if self.looked_at is None:
            return []
        by = unseen(self.looked_at, now, self._patience)
        if not by:
            return []
        moved = []
        for rule in self.rules.values():
            for series in rule.series.values():
                shift(series, by, now, self._tolerance)
                if series.state == "pending":
                    moved.append(Change(rule, series, "pending", series.since, None))
        return moved

    def _judge(self, rule: RuleState, samples: Sequence[Sample], now: datetime, changes: list[Change]) -> None:
        wanted = rule.labels
        if wanted:
            samples = [s for s in samples if all(pair in s.labels for pair in wanted)]
        if rule.condition.kind == "absent":
            self._look_at(rule, wanted, samples[0].value if samples else None, now, changes)
            return
        for sample in samples:
            self._look_at(rule, sample.labels, sample.value, now, changes)
        if len(rule.series) > len(samples):
            self._look_for_missing(rule, {sample.labels for sample in samples}, now, changes)

    def _look_for_missing(self, rule: RuleState, there: set[Labels], now: datetime, changes: list[Change]) -> None:
        none = 0.0 if is_event(rule.metric) else None  # of events there are none, of measurements no knowledge
        for labels, series in list(rule.series.items()):
            if labels in there:
                continue
            old = series.state == "no_data" and now - series.since > _FORGOTTEN_AFTER
            if old or (none is not None and series.state == "ok"):
                del rule.series[labels]
            else:
                self._look_at(rule, labels, none, now, changes)

    def _look_at(
        self, rule: RuleState, labels: Labels, value: float | None, now: datetime, changes: list[Change]
    ) -> None:
        series = rule.series.get(labels)
        if series is None:
            series = rule.series[labels] = RuleSeries(labels, "ok", now, now)
        state = follow(rule.condition, series, value, now, self._patience)
        if value is not None or rule.condition.kind == "absent":
            series.value, series.seen = value, now
        if state == series.state:
            if state == "firing" and rule.due(series, now):
                kind: Kind = "fired" if series.notified_at is None else "repeated"
                changes.append(Change(rule, series, state, series.since, series.alert_id, notify=kind))
            return
        change = Change(rule, series, state, now, series.alert_id)
        if state == "firing":
            self._fire(change, now)
        elif series.state == "firing":
            self._resolve(change, now)
        changes.append(change)

    def _fire(self, change: Change, now: datetime) -> None:
        rule, series = change.rule, change.series
        change.turn, change.alert_id = "fired", new_id("alert")
        name = messages.series_name(rule.metric, dict(series.labels))
        told = self._occurrences.details(rule.metric, series.labels)
        change.summary = told or messages.summary(name, rule.condition, series.value, self._unit(rule.metric))
        if rule.channel_ids and not rule.silenced(now):
            change.notify = "fired"

    def _resolve(self, change: Change, now: datetime) -> None:
        rule, series = change.rule, change.series
        change.turn = "resolved"
        change.resolution = "no_data" if change.state == "no_data" else "recovered"
        name = messages.series_name(rule.metric, dict(series.labels))
        change.ending = messages.ending(change.resolution, name, series.value, self._unit(rule.metric))
        if series.notified_at is not None and rule.channel_ids and not rule.silenced(now):
            change.notify = "resolved"

    def _unit(self, metric: str) -> str:
        """Return the unit of a metric, looked up once a look."""
        if metric not in self._units:
            self._units[metric] = self._catalogue.unit(metric)
        return self._units[metric]
