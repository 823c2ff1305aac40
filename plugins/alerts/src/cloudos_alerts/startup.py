"""Loads the rules with the states of their series at a start, and adds the default rules once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cloudos_sdk import Context, new_id
from sqlalchemy import insert, select
from sqlmodel import Session

from cloudos_alerts.default_rules import default_rules
from cloudos_alerts.models import Alert, Progress, Rule, SeriesRow
from cloudos_alerts.rules.conditions import RuleSeries
from cloudos_alerts.rules.rule_state import RuleState, labels_in
from cloudos_alerts.service import insert_rule

ALERT = Alert.__table__
PROGRESS = Progress.__table__
RULE = Rule.__table__
SERIES = SeriesRow.__table__


async def make_first_rules(ctx: Context) -> None:
    """Make the rules of a new node; never again, whatever becomes of them."""

    def make(session: Session) -> None:
        if session.execute(select(PROGRESS)).first() is not None:
            return
        session.execute(insert(PROGRESS).values(id=1, first_rules=ctx.settings.default_rules))
        for rule in default_rules() if ctx.settings.default_rules else ():
            insert_rule(session, ctx, new_id("rule"), rule, made_by_node=True)

    if await ctx.db.read(lambda s: s.execute(select(PROGRESS)).first()) is None:
        await ctx.db.write(make)


async def stored_rules(ctx: Context) -> tuple[Iterable[RuleState], datetime | None]:
    """Return the stored rules with their series, and the time of the last evaluation."""

    def read(session: Session) -> tuple[Iterable[RuleState], datetime | None]:
        progress = session.execute(select(PROGRESS)).first()
        looked_at: datetime | None = progress.looked_at if progress is not None else None
        rules = {row.id: RuleState.of(row) for row in session.execute(select(RULE))}
        firing = {row.id: row for row in session.execute(select(ALERT).where(ALERT.c.state == "firing"))}
        for row in session.execute(select(SERIES)):
            rule = rules.get(row.rule_id)
            if rule is None:
                continue
            labels, alert = labels_in(row.labels), firing.get(row.alert_id)
            series = RuleSeries(labels, row.state, row.since, looked_at or row.since, row.value, row.alert_id)
            if alert is not None:
                series.notified_at, series.acknowledged = alert.notified_at, alert.acknowledged_at is not None
            rule.series[labels] = series
        return rules.values(), looked_at

    return await ctx.db.read(read)
