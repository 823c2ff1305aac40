"""The history: minutes, hours and days, aligned in UTC, over restarts and clocks that are set anew."""

import time
from datetime import timedelta

import pytest
from cloudos_sdk import InvalidRequest
from cloudos_system.series.history import check_names
from sqlalchemy import text
from system_lab import Lab

MINUTE = "range=1h&metric=lab.level"


def set_wall_clock(node, by):
    """Set the wall clock; the monotonic one goes on."""
    node.host.clock._start += by


def points(history, series=("a",), column="mean"):
    """Return what is there of a series by the time of its bucket."""
    values = history["series"][series][column]
    return {ts[11:16]: value for ts, value in zip(history["timestamps"], values, strict=True) if value is not None}


async def rows(node, step):
    query = text(
        "SELECT r.ts, r.low, r.high, r.mean, r.n FROM system_rollup r JOIN system_series s ON s.id = r.series"
        " WHERE s.metric = 'lab.level' AND r.step = :step ORDER BY r.ts"
    )
    return [
        tuple(row) for row in await node.host.ctx("system").db.read(lambda s: s.execute(query, {"step": step}).all())
    ]


async def minute(node, lab, *levels):
    """Take one reading for each level."""
    for level in levels:
        lab.set(a=level)
        await node.tick()


@pytest.fixture
async def lab_node(system):
    lab = Lab(a=0)
    node = await system(lab.plugin)
    await node.first_tick()  # about the ten seconds before midnight
    return node, lab


async def test_a_minute_has_the_mean_the_least_and_the_most_of_its_six_readings(lab_node):
    node, lab = lab_node
    await minute(node, lab, 1, 2, 3, 4, 5, 9, 100)
    found = await node.history(MINUTE)
    assert points(found)["00:00"] == 4
    assert points(found, column="min")["00:00"] == 1
    assert points(found, column="max")["00:00"] == 9
    assert points(found)["00:01"] == 100, "the open minute shows too"
    await node.settled()
    assert (await rows(node, 60))[-1][1:] == (1, 9, 4, 6)
    assert points(await node.history(MINUTE)) == points(found), "from the database as from memory"


async def test_buckets_are_aligned_and_what_was_not_measured_is_null(lab_node):
    node, lab = lab_node
    await minute(node, lab, *[5] * 12)
    found = await node.history(MINUTE)
    assert (found["range"], found["step_seconds"], len(found["timestamps"])) == ("1h", 60, 60)
    assert found["timestamps"][-1] == "2026-01-01T00:01:00Z"
    assert found["series"]["a",]["mean"].count(None) == 57
    assert all(len(found["series"]["a",][column]) == 60 for column in ("mean", "min", "max"))
    assert (found["series"]["a",]["unit"], found["series"]["a",]["labels"]) == ("units", {"tube": "a"})


async def test_a_gap_stays_a_gap(lab_node):
    node, lab = lab_node
    await minute(node, lab, *[1] * 6)
    lab.values.clear()
    await minute_without(node, 12)
    await minute(node, lab, *[2] * 12)
    await node.settled()
    assert points(await node.history(MINUTE)) == {"23:59": 0, "00:00": 1, "00:03": 2, "00:04": 2}


async def minute_without(node, count):
    await node.tick(count)


async def test_hours_and_days_add_up_the_same_readings(lab_node):
    node, lab = lab_node
    for level in (2, 4):
        lab.set(a=level)
        await node.tick(6 * 5)
    lab.values.clear()
    await node.tick(2)
    await node.settled()
    hours = await rows(node, 3600)
    assert [(low, high, pytest.approx(mean), n) for _, low, high, mean, n in hours][1:] == [(2, 4, 3, 60)]
    days = await rows(node, 86_400)
    assert sum(row[4] for row in days) == sum(row[4] for row in hours) == sum(row[4] for row in await rows(node, 60))
    week = await node.history("range=7d&metric=lab.level")
    assert (week["step_seconds"], len(week["timestamps"])) == (3600, 168)
    assert points(week)["00:00"] == pytest.approx(3)
    year = await node.history("range=1y&metric=lab.level")
    assert (year["step_seconds"], len(year["timestamps"])) == (86_400, 365)
    assert year["timestamps"][-1] == "2026-01-01T00:00:00Z"


async def test_a_wider_step_weighs_minutes_by_their_readings(lab_node):
    node, lab = lab_node
    await minute(node, lab, *[1] * 6, *[7] * 6, *[0] * 25)
    await node.settled()
    found = await node.history(f"{MINUTE}&step=5m")
    assert (found["step_seconds"], len(found["timestamps"])) == (300, 12)
    assert found["timestamps"][-1] == "2026-01-01T00:05:00Z"
    assert points(found)["00:00"] == pytest.approx((6 + 42) / 30)
    assert points(found, column="max")["00:00"] == 7


async def test_a_restart_in_the_middle_of_a_minute_adds_to_it(lab_node):
    node, lab = lab_node
    await minute(node, lab, 10, 10)
    await node.host.restart()
    await node.first_tick()
    await minute(node, lab, 40, 40, 40, 40, 0)
    await node.settled()
    found = await rows(node, 60)
    assert found[-1][1:] == (10, 40, pytest.approx((10 * 3 + 40 * 4) / 7), 7), "the start takes a reading of its own"
    assert points(await node.history(MINUTE))["00:00"] == pytest.approx(190 / 7, abs=0.001)


async def test_a_node_that_is_stopped_keeps_the_minute_that_was_open(lab_node):
    node, lab = lab_node
    await minute(node, lab, 3, 5)
    await node.host.restart()
    assert (await rows(node, 60))[-1][1:] == (3, 5, 4, 2)


async def test_a_clock_set_back_adds_to_buckets_and_never_replaces_them(lab_node):
    node, lab = lab_node
    await minute(node, lab, *[4] * 60)
    await node.settled()
    before = {row[0]: row for row in await rows(node, 60)}
    set_wall_clock(node, timedelta(minutes=-8))
    await minute(node, lab, *[10] * 14)
    await node.settled()
    after = {row[0]: row for row in await rows(node, 60)}
    assert set(before) <= set(after)
    readings = sum(row[4] for row in after.values())
    total = sum(row[3] * row[4] for row in after.values())
    assert readings >= 61 + 12 and total == pytest.approx(4 * 60 + 10 * (readings - 61))
    for ts, (_, low, high, mean, n) in after.items():
        assert low <= mean <= high and n >= before.get(ts, (0, 0, 0, 0, 0))[4]
    hours = await rows(node, 3600)
    assert sum(row[4] for row in hours) == readings
    assert sum(row[3] * row[4] for row in hours) == pytest.approx(total)


async def test_a_clock_set_forward_leaves_a_gap(lab_node):
    node, lab = lab_node
    await minute(node, lab, *[4] * 12)
    set_wall_clock(node, timedelta(minutes=30))
    await minute(node, lab, *[6] * 13)
    await node.settled()
    found = points(await node.history(MINUTE))
    assert found["00:01"] == 4 and "00:20" not in found and list(found.values())[-1] == 6


async def test_series_are_chosen_by_group_and_by_label(system):
    lab = Lab(a=1, b=2)
    lab.values["lab.heat", ()] = 30
    node = await system(lab.plugin)
    await node.tick()
    assert set((await node.history("range=1h&metric=lab.*"))["series"]) == {(), ("a",), ("b",)}
    assert set((await node.history("range=1h&metric=lab.level&label=tube:b"))["series"]) == {("b",)}
    both = await node.get("/api/system/metrics?metric=lab.heat&metric=system.load.1m")
    assert [one["metric"] for one in both["series"]] == ["lab.heat", "system.load.1m"]
    machine = await node.get("/api/system/metrics")
    assert {one["metric"].split(".")[0] for one in machine["series"]} == {"system"}, "the machine's by default"
    assert machine["range"] == "1h"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("range=2h", "range"),
        ("range=1h&step=45", "step"),
        ("range=7d&step=60", "step"),
        ("range=1h&step=2h", "step"),
        ("range=1h&step=0", "step"),
        ("range=1h&step=-60", "step"),
        ("range=1h&step=1w", "step"),
        ("range=1h&step=1.5", "step"),
        ("range=1h&step=99999999999", "step"),
        ("metric=system.cpu.usage_percent&label=x", "label"),
        ("metrics=x", "metrics"),
        ("metric=nothing.like.it", "metric"),
    ],
)
async def test_a_query_that_does_not_fit_is_named(system, query, field):
    node = await system()
    await node.first_tick()
    problem = await node.get(f"/api/system/metrics?{query}", 400)
    assert field in [one["path"] for one in problem["fields"]], problem


async def test_a_metric_that_does_not_exist_is_refused_with_the_nearest_names(system):
    node = await system()
    await node.first_tick()
    problem = await node.get("/api/system/metrics?metric=system.cpu.usage", 400)
    assert problem["error"] == "unknown_metric"
    assert problem["nearest"][0] == "system.cpu.usage_percent"
    assert "system.cpu.usage_percent" in problem["message"]


def test_a_name_of_any_length_is_compared_by_its_beginning_alone():
    names = [f"system.lab{number}.percent" for number in range(300)]
    began = time.process_time()
    for wanted in ("system.lab7.percen" + " " * 10_000_000, "ab" * 5_000_000):
        with pytest.raises(InvalidRequest, match="There is no metric"):
            check_names([wanted], names)
    assert time.process_time() - began < 3


async def test_series_that_never_end_do_not_fill_the_disk(system, monkeypatch):
    from cloudos_system.series import store

    monkeypatch.setattr(store, "MOST_SERIES", 40)
    lab = Lab(**{f"tube{number}": number for number in range(100)})
    node = await system(lab.plugin)
    await node.tick(8)
    await node.settled()
    query = text("SELECT count(*) FROM system_series")
    assert await node.host.ctx("system").db.read(lambda s: s.execute(query).scalar()) == 40


async def test_the_models_are_what_the_migrations_make(system):
    node = await system()
    assert node.host.schema_differences("system") == []
