"""What is too old goes; a clock that leapt ahead takes nothing with it."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from system_lab import Lab

DAY = 86_400


@pytest.fixture
async def node(system):
    lab = Lab(a=1)
    found = await system(lab.plugin)
    await found.tick(7)
    await found.settled()
    lab.values.clear()
    return found


async def kept(node):
    """Return how many roll-ups of the lab there are, by step."""
    query = text(
        "SELECT r.step, count(*) FROM system_rollup r JOIN system_series s ON s.id = r.series"
        " WHERE s.metric = 'lab.level' GROUP BY r.step"
    )
    return dict(tuple(row) for row in await node.host.ctx("system").db.read(lambda s: s.execute(query).all()))


async def pass_days(node, days):
    """Let days go by in one leap of both clocks."""
    await node.host.clock.leap(days * DAY)


async def test_minutes_go_after_a_day_hours_after_a_month_days_after_a_year(node):
    assert set(await kept(node)) == {60, 3600, DAY}
    for days, left in ((0, {60, 3600, DAY}), (2, {3600, DAY}), (30, {DAY}), (335, set())):
        await pass_days(node, days)
        await node.host.run_job("system", "prune")
        assert set(await kept(node)) == left


async def test_a_series_of_which_nothing_is_left_is_forgotten_and_may_come_back(node, system):
    query = text("SELECT count(*) FROM system_series WHERE metric = 'lab.level'")

    async def known():
        return await node.host.ctx("system").db.read(lambda session: session.execute(query).scalar())

    assert await known() == 1
    await pass_days(node, 370)
    await node.host.run_job("system", "prune")
    assert await known() == 0
    assert (await node.history("range=1y&metric=lab.level"))["series"] == {}


async def test_a_clock_that_leaps_ahead_removes_nothing_until_it_has_held_for_an_hour(node):
    before = await kept(node)
    node.host.clock._start += timedelta(days=4000)
    await node.host.run_job("system", "prune")
    assert await kept(node) == before
    node.host.clock._start -= timedelta(days=4000)
    await node.host.run_job("system", "prune")
    assert await kept(node) == before
    await node.host.run_job("system", "prune")
    assert await kept(node) == before
