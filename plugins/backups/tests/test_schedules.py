"""Schedules: when they are due, what was missed, what is kept, and what is measured."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from backup_node import until
from cloudos_backups.schedule.clock import starts_at
from cloudos_backups.schedule.cron import interval, next_due
from cloudos_sdk.capabilities import MetricSource
from cloudos_sdk.testing.contracts import check_metric_source


def plan(**more):
    return {"name": "nightly", "cron": "0 2 * * *", "targets": ["disk"], "include_config": False, **more}


async def put(node, *plans, status=200):
    return await node.ask("PUT", "backup/schedule", status, json={"schedules": list(plans)})


async def pass_time(node, seconds):
    """Let so much time pass, and what is begun meanwhile come to its end."""
    await node.running.clock.leap(seconds)

    async def idle():
        from cloudos_backups.schedule.planner import Planner

        planner = node.running.ctx("backups").use(Planner)
        await node.running.clock.advance(5)
        return not any(not task.done() for task in planner._running.values())

    await asyncio.sleep(0.1)
    await until(idle)


async def backups(node):
    return await node.ask("GET", "backups")


async def samples(node):
    source = next(
        source for source in node.running.ctx("backups").all(MetricSource) if type(source).__name__ == "BackupMetrics"
    )
    return {(sample.name, *(value for _, value in sample.labels)): sample.value for sample in await source.sample()}


@pytest.mark.parametrize(
    ("after", "due"),
    [
        ("2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),  # 02:30 there is not: an hour is left out
        ("2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),  # 02:30 comes twice: it is due once
    ],
)
def test_a_schedule_is_due_once_a_day_over_both_changes_of_the_clocks(after, due):
    moment, found = datetime.fromisoformat(after).replace(tzinfo=UTC), []
    for _ in due:
        moment = next_due("30 2 * * *", "Europe/Berlin", moment)
        found.append(f"{moment:%Y-%m-%dT%H:%M}")
    assert found == due


def test_a_weekend_is_part_of_a_schedule_of_workdays():
    friday = datetime(2026, 1, 2, 2, 5, tzinfo=UTC)
    assert interval("0 2 * * 1-5", "UTC", friday) > timedelta(days=2, hours=23)


def test_a_start_is_at_random_within_its_window():
    due = datetime(2026, 1, 1, tzinfo=UTC)
    starts = {starts_at(due, 60) for _ in range(50)}
    assert len(starts) > 10 and all(due <= start < due + timedelta(hours=1) for start in starts)
    assert starts_at(due, 0) == due


async def test_a_schedule_is_set_shown_and_run(node, things):
    things.put("app_1", "blog", "data").joinpath("post").write_text("hello")
    await node.add_target()
    (shown,) = (await put(node, plan()))["schedules"]
    assert shown["next_run_at"] == "2026-01-01T02:00:00Z" and shown["targets"] == ["disk"]
    assert shown["retention"]["last"] == 7 and shown["last_run_at"] is None
    await pass_time(node, 2 * 3600 + 60)
    (made,) = await backups(node)
    assert (made["status"], made["schedule_id"], made["apps"]) == ("completed", shown["id"], ["app_1"])
    (shown,) = (await node.ask("GET", "backup/schedule"))["schedules"]
    assert shown["next_run_at"] == "2026-01-02T02:00:00Z" and shown["failures"] == 0
    assert shown["last_success_at"] is not None
    kept = await put(node, {**plan(cron="0 3 * * *"), "id": shown["id"]}, plan(name="weekly", cron="0 4 * * 0"))
    assert kept["schedules"][0]["last_run_at"] == shown["last_run_at"]
    assert kept["schedules"][0]["next_run_at"] == "2026-01-01T03:00:00Z"
    await put(node)
    assert (await node.ask("GET", "backup/schedule"))["schedules"] == []
    assert len(await node.events("backup.schedule_changed")) == 3


async def test_runs_that_were_missed_are_made_up_once(node, things):
    things.put("app_1", "blog", "data")
    await node.add_target()
    await put(node, plan())
    await node.running.stop()
    await node.running.clock.leap(5 * 86400)
    await node.running.start()
    await pass_time(node, 30)
    assert [made["status"] for made in await backups(node)] == ["completed"]
    (shown,) = (await node.ask("GET", "backup/schedule"))["schedules"]
    assert shown["next_run_at"] == "2026-01-06T02:00:00Z"
    await pass_time(node, 3600)
    assert len(await backups(node)) == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"cron": "nonsense"}, "schedules.0.cron"),
        ({"cron": "0 0 31 2 *"}, "schedules.0.cron"),
        ({"time_zone": "Mars/Olympus"}, "schedules.0.time_zone"),
        ({"time_zone": "../../etc/passwd"}, "schedules.0.time_zone"),
        ({"targets": ["none"]}, "schedules.0.targets"),
        ({"apps": ["app_none"]}, "schedules.0.apps"),
        ({"apps": []}, "schedules.0.apps"),
        ({"id": "sch_none"}, "schedules.0.id"),
        ({"retention": {"last": 0}}, "schedules.0.retention.last"),
    ],
)
async def test_a_schedule_that_cannot_be_kept_names_its_field(node, more, field):
    await node.add_target()
    refused = await put(node, plan(**more), status=400)
    assert field in [found["path"] for found in refused["fields"]], refused


async def test_only_admins_set_schedules(node):
    for client in (node.running.operator, node.running.viewer):
        await node.ask("PUT", "backup/schedule", 403, client=client, json={"schedules": []})
        await node.ask("GET", "backup/schedule", client=client)


async def test_a_schedule_keeps_its_own_newest_and_never_forgets_the_newest_good_one(node, things):
    data = things.put("app_1", "blog", "data")
    await node.add_target()
    by_hand = await node.back_up()
    await put(node, plan(retention={"last": 2}))
    for day in range(3):
        (data / "post").write_text(f"day {day}")
        await pass_time(node, 86400)
    made = await backups(node)
    assert len(made) == 3 and by_hand["id"] in [found["id"] for found in made]
    good = made[0]["id"]
    data.rename(data.parent / "away")
    for _ in range(3):
        await pass_time(node, 86400)
    made = await backups(node)
    assert [found["status"] for found in made] == ["partial", "partial", "completed", "completed"], made
    assert good in [found["id"] for found in made], "what misses something pushes no good one out"
    assert await node.ask("GET", f"backups/{good}/files?path=/app_1/data")


async def test_failures_are_counted_and_ages_measured_for_the_alerts(node, things):
    things.put("app_1", "blog", "data")
    await node.add_target()
    await check_metric_source(
        next(s for s in node.running.ctx("backups").all(MetricSource) if type(s).__name__ == "BackupMetrics")
    )
    await put(node, plan())
    await pass_time(node, 2 * 3600 + 60)
    found = await samples(node)
    assert found["backup.app.age_hours", "app_1"] < 1 and found["backup.schedule.failures", "nightly"] == 0
    (node.folder / "targets" / "disk").rename(node.folder / "targets" / "away")
    await pass_time(node, 86400)
    assert (await samples(node))["backup.schedule.failures", "nightly"] == 1
    await pass_time(node, 86400)
    found = await samples(node)
    assert found["backup.schedule.failures", "nightly"] == 2
    assert found["backup.app.overdue", "app_1"] > 1.9
    (node.folder / "targets" / "away").rename(node.folder / "targets" / "disk")
    await pass_time(node, 86400)
    found = await samples(node)
    assert found["backup.schedule.failures", "nightly"] == 0 and found["backup.app.overdue", "app_1"] < 0.1


async def test_a_target_of_a_schedule_is_not_removed(node, things):
    await node.add_target()
    await put(node, plan(apps=None, include_config=True))
    assert (await node.ask("DELETE", "backup/targets/disk", 409))["error"] == "target_in_schedule"
    await put(node)
    await node.ask("DELETE", "backup/targets/disk", 204)
