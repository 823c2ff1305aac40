"""Rules on events: what happens counts as a metric, once, over restarts, until it is over."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from cloudos_alerts.rules.event_metrics import vocabulary
from cloudos_sdk import Event, Manifest
from cloudos_sdk.events import AppCrashed, AppUninstalled


@dataclass(frozen=True, kw_only=True)
class BackupFailed(Event, type="backup.failed"):
    """A backup failed."""

    target: str


@dataclass(frozen=True, kw_only=True)
class BackupCompleted(Event, type="backup.completed"):
    """A backup was made."""

    target: str


@dataclass(frozen=True, kw_only=True)
class OvenHeated(Event, type="oven.heated"):
    """An oven is hot; an event of a plugin that nobody here knows."""


def _happening() -> ModuleType:
    module = ModuleType("happening")
    module.manifest = Manifest(
        title="Happening", emits=(AppCrashed, AppUninstalled, BackupFailed, BackupCompleted, OvenHeated)
    )
    return module


async def happen(node, *events):
    ctx = node.running.ctx("happening")
    await ctx.db.write(lambda session: [ctx.events.emit(session, event) for event in events])


def crash(name="blog"):
    return AppCrashed(
        resource=f"app_{name}", details=f"{name} ended with exit code 3", name=name, service="web", exit_code=3, logs=[]
    )


async def is_(node, rule, state):
    return await node.state(rule) == state


async def on_event(node, type, **members):
    return await node.rule(metric=f"event.{type}", threshold=0, **members)


async def test_an_app_that_crashes_fires_at_once_and_ends_after_ten_quiet_minutes(alerts, slack):
    node = await alerts(_happening())
    channel = await node.channel()
    rule = await on_event(node, "app.crashed", name="App crashed", channel_id=channel["id"])
    assert rule["state"] == "ok"
    await happen(node, crash())
    await node.until(lambda: is_(node, rule, "firing"))
    await node.until(lambda: slack.received)
    assert "blog ended with exit code 3" in slack.texts()[0]
    (alert,) = await node.ask("GET", "")
    assert (alert["labels"], alert["value"]) == ({"app": "blog"}, 1)
    await node.clock.advance(300)
    await happen(node, crash())
    await node.until(lambda: _value(node, rule, 2))
    await node.restart(down=310)
    await node.measure()
    assert await node.state(rule) == "firing"
    await node.measure(after=300)
    assert await node.state(rule) == "ok"
    assert await node.events("alert.fired", "alert.resolved") == ["alert.fired", "alert.resolved"]


async def test_each_app_is_a_series_and_may_be_watched_alone(alerts):
    node = await alerts(_happening())
    all_apps = await on_event(node, "app.crashed")
    one = await on_event(node, "app.crashed", labels={"app": "shop"})
    await happen(node, crash("blog"), crash("forum"))
    await node.until(lambda: _alerts(node, 2))
    assert {a["labels"]["app"] for a in await node.ask("GET", "")} == {"blog", "forum"}
    assert await node.state(all_apps) == "firing" and await node.state(one) == "ok"
    removed = AppUninstalled(resource="app_blog", details="Removed blog", name="blog", purged=False)
    await happen(node, removed)
    await node.until(lambda: _alerts(node, 1))


async def test_a_failed_backup_lasts_until_one_to_the_same_target_is_made(alerts):
    node = await alerts(_happening())
    rule = await on_event(node, "backup.failed")
    await happen(node, BackupFailed(resource="bak_1", target="s3"))
    await node.until(lambda: is_(node, rule, "firing"))
    await node.restart(down=3 * 86400)
    await node.measure()
    assert await node.state(rule) == "firing"
    await happen(node, BackupCompleted(resource="bak_2", target="local"))
    await node.measure()
    assert await node.state(rule) == "firing"
    await happen(node, BackupCompleted(resource="bak_3", target="s3"))
    await node.until(lambda: is_(node, rule, "ok"))


async def test_several_in_a_short_time_can_be_asked_for(alerts):
    node = await alerts(_happening())
    rule = await node.rule(metric="event.app.crashed", condition="greater_than", threshold=2)
    await happen(node, crash(), crash())
    await node.until(lambda: _value(node, rule, 2))
    assert await node.state(rule) == "ok"
    await happen(node, crash())
    await node.until(lambda: is_(node, rule, "firing"))


async def test_events_of_any_plugin_are_in_the_vocabulary_and_our_own_do_not_feed_themselves(alerts):
    names = vocabulary()
    assert names["event.oven.heated"].help == "An oven is hot; an event of a plugin that nobody here knows."
    assert "event.certificate.failed" in names and "event.alert.channel_failed" in names
    assert not [name for name in names if name.startswith("event.alert.") and name != "event.alert.channel_failed"]
    node = await alerts(_happening())
    await node.rule(metric="event.oven.heated", threshold=0, labels={"resource": "oven_1"})
    problem = await node.ask(
        "POST",
        "/rules",
        400,
        json={"name": "x", "metric": "event.alert.fired", "condition": "greater_than", "threshold": 0},
    )
    assert problem["fields"][0]["path"] == "metric"


async def _value(node, rule, value):
    series = (await node.ask("GET", f"/rules/{rule['id']}"))["series"]
    return [s["value"] for s in series] == [value]


async def _alerts(node, count):
    return len(await node.ask("GET", "")) == count
