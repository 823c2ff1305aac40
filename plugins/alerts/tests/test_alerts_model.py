"""The evaluation against a model of it, over random values, gaps, clocks that are set, and restarts.

The model adds up the time that was seen; the plugin keeps moments and moves them. Both must say the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa
from cloudos_alerts.rules.conditions import Condition
from cloudos_alerts.rules.rule_state import RuleState
from cloudos_alerts.startup import stored_rules
from cloudos_sdk.testing.fakes import sample
from hypothesis import given, settings
from hypothesis import strategies as st

PATIENCE, TOLERANCE = 60, 3600
METRIC = "app.cpu.usage_percent"
LABELS = (("app", "blog"),)
VALUES = st.sampled_from([None, 70, 79, 80, 85, 90, 91, 95, 95, 95])
GAPS = st.sampled_from([10, 10, 10, 10, 20, 45, 60, 61, 130, 700, 3660, 3661, 9000, -30])
STEPS = st.lists(st.tuples(GAPS, VALUES, st.sampled_from([False, False, False, True])), min_size=1, max_size=30)
CONDITIONS = st.builds(
    Condition,
    kind=st.sampled_from(["greater_than", "less_than", "equals", "not_equals", "absent"]),
    threshold=st.just(90.0),
    recovery=st.sampled_from([None, 80.0]),
    duration=st.sampled_from([0.0, 10.0, 30.0, 60.0, 300.0]),
)


@dataclass
class Model:
    """What the documentation says, in sums of seconds."""

    condition: Condition
    state: str | None = None
    held: float = 0.0
    missed: float = 0.0
    story: list[str] = field(default_factory=list)

    def restart(self):
        """Forget what is not kept: a series that is ok."""
        self.missed = 0.0
        if self.state == "ok":
            self.state = None

    def look(self, gap, value):
        """Take a look after a gap; the first has none."""
        counted = min(max(gap, 0), PATIENCE)
        self.held += counted
        self.missed += counted
        if gap - counted > TOLERANCE:
            self.held = 0.0
        if self.condition.kind != "absent":
            if value is None:
                if self.state is not None and self.missed > PATIENCE:
                    self._enter("no_data")
                return
            self.missed = 0.0
        self._judge(value)

    def _judge(self, value):
        over = self._over(value)
        if self.state == "firing":
            if not over and not self._between(value):
                self._enter("ok")
        elif not over:
            self._enter("ok")
        elif self.state == "pending":
            if self.held >= self.condition.duration:
                self._enter("firing")
        else:
            self.held = 0.0
            self._enter("pending" if self.condition.duration else "firing")

    def _over(self, value):
        kind = self.condition.kind
        if kind == "absent" or value is None:
            return kind == "absent" and value is None
        return {"greater_than": value > 90, "less_than": value < 90, "equals": value == 90, "not_equals": value != 90}[
            kind
        ]

    def _between(self, value):
        hysteresis = self.condition.recovery is not None and value is not None
        return hysteresis and self.condition.kind == "greater_than" and value > 80

    def _enter(self, state):
        if "firing" in (state, self.state) and state != self.state:
            self.story.append({"firing": "fired", "ok": "recovered"}.get(state, state))
        self.state = state


async def check(node, condition, steps):
    ctx, engine, now = node.running.ctx("alerts"), node.engine, node.clock.now()
    recovery = condition.recovery if condition.kind == "greater_than" else None
    threshold = None if condition.kind == "absent" else condition.threshold
    condition = Condition(condition.kind, threshold, recovery, condition.duration)
    await ctx.db.write(lambda session: _begin(session, condition))
    engine.load(*await stored_rules(ctx))
    model = Model(condition)
    for place, (gap, value, restart) in enumerate(steps):
        if restart:
            engine.load(*await stored_rules(ctx))
            model.restart()
        now += timedelta(seconds=gap)
        await engine.evaluate(now, [] if value is None else [sample(METRIC, value, app="blog")])
        model.look(gap if place else 0, value)
        series = engine.rules["rule_x"].series.get(LABELS)
        assert (series.state if series is not None else None) == model.state, f"step {place}"
    told = await ctx.db.read(lambda session: session.execute(_STORY).all())
    assert [word for row in told for word in ("fired", row.resolution) if word] == model.story
    assert {row.state for row in told if not row.resolution} == ({"firing"} if model.state == "firing" else set())


async def test_the_evaluation_does_what_the_model_says(alerts):
    node = await alerts(metrics=False, patience_seconds=PATIENCE, outage_seconds=TOLERANCE)
    loop = asyncio.get_running_loop()

    @settings(max_examples=120, deadline=None, derandomize=True, database=None)
    @given(condition=CONDITIONS, steps=STEPS)
    def run(condition, steps):
        asyncio.run_coroutine_threadsafe(check(node, condition, steps), loop).result(60)

    await asyncio.to_thread(run)


_STORY = sa.text("SELECT state, resolution FROM alerts_alert ORDER BY seq")
_RULE = sa.text(
    "INSERT INTO alerts_rule (id, name, metric, condition, threshold, recovery_threshold, duration, labels, severity,"
    " channel_ids, enabled, made_by_node, created_at, updated_at) VALUES ('rule_x', 'x', :metric, :kind, :threshold,"
    " :recovery, :duration, :labels, 'warning', '[]', :yes, :no, '2026-01-01', '2026-01-01')"
)


def _begin(session, condition):
    for table in ("rule", "series", "alert"):
        session.execute(sa.text(f"DELETE FROM alerts_{table}"))
    session.execute(sa.text("UPDATE alerts_progress SET looked_at = NULL"))
    values = {
        "metric": METRIC,
        "kind": condition.kind,
        "threshold": condition.threshold,
        "recovery": condition.recovery,
        "duration": int(condition.duration),
        "labels": '{"app": "blog"}',
        "yes": True,
        "no": False,
    }
    session.execute(_RULE, values)


def test_a_rule_is_read_as_it_was_stored():
    class Row:
        id, name, metric, condition, threshold, recovery_threshold = "r", "n", "m", "greater_than", 1.0, None
        duration, labels, severity, channel_ids = 60, {"b": "2", "a": "1"}, "info", ["ch_1"]
        repeat_interval, enabled, silenced_until = 3600, 1, None

    rule = RuleState.of(Row)
    assert rule.labels == (("a", "1"), ("b", "2"))
    assert (rule.condition.duration, rule.repeat, rule.enabled) == (60.0, timedelta(hours=1), True)
