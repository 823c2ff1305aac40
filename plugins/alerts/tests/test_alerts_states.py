"""A rule's way from ok over pending and firing to resolved."""

from __future__ import annotations

from cloudos_sdk.capabilities import AppAddress, Apps
from cloudos_sdk.testing.fakes import FakeApps, providing, sample


async def test_a_rule_fires_once_its_condition_held_for_the_whole_duration(alerts):
    node = await alerts()
    rule = await node.rule(duration="1m")
    assert rule["state"] == "no_data"
    await node.measure(50)
    assert await node.state(rule) == "ok"
    await node.measure_for(60, 95)
    assert await node.state(rule) == "pending"
    assert await node.ask("GET", "") == []
    await node.measure(96)
    assert await node.state(rule) == "firing"
    (alert,) = await node.ask("GET", "")
    assert (alert["rule_id"], alert["value"], alert["severity"]) == (rule["id"], 96, "warning")
    assert alert["summary"] == "system.cpu.usage_percent is 96 %, greater than 90 % for 1m."
    await node.measure(90)
    assert await node.state(rule) == "ok"
    assert await node.ask("GET", "") == []
    (ended,) = await node.ask("GET", "/history")
    assert (ended["id"], ended["state"], ended["resolution"]) == (alert["id"], "resolved", "recovered")
    assert (ended["fired_at"], ended["resolved_at"]) == ("2026-01-01T00:01:20Z", "2026-01-01T00:01:30Z")
    assert await node.events("alert.fired", "alert.resolved") == ["alert.fired", "alert.resolved"]


async def test_a_moment_below_the_threshold_begins_the_duration_anew(alerts):
    node = await alerts()
    rule = await node.rule(duration="1m")
    await node.measure_for(60, 95)
    await node.measure(80)
    await node.measure_for(60, 95)
    assert await node.state(rule) == "pending"
    await node.measure(95)
    assert await node.state(rule) == "firing"


async def test_each_condition_means_what_it_says(alerts):
    node = await alerts()
    meant = {
        "greater_than": ([90.1], [90, 12]),
        "less_than": ([89.9, -3], [90, 91]),
        "equals": ([90], [90.5, 0]),
        "not_equals": ([0, 91], [90]),
    }
    rules = {condition: await node.rule(condition=condition) for condition in meant}
    for value in (90.1, 90, 12, 89.9, -3, 91, 90.5, 0):
        await node.measure(value)
        for condition, (fires, not_) in meant.items():
            if value in fires or value in not_:
                assert await node.state(rules[condition]) == ("firing" if value in fires else "ok"), (condition, value)


async def test_what_fires_goes_on_until_the_recovery_threshold(alerts):
    node = await alerts()
    rule = await node.rule(recovery_threshold=80)
    for value, state in [(95, "firing"), (85, "firing"), (91, "firing"), (80, "ok"), (85, "ok")]:
        await node.measure(value)
        assert await node.state(rule) == state, value
    assert len(await node.ask("GET", "/history")) == 1


async def test_each_series_has_a_state_of_its_own(alerts):
    node = await alerts()
    rule = await node.rule(metric="app.cpu.usage_percent")
    one = await node.rule(metric="app.cpu.usage_percent", labels={"app": "shop"})
    await node.measure(sample("app.cpu.usage_percent", 95, app="blog"), sample("app.cpu.usage_percent", 5, app="shop"))
    series = (await node.ask("GET", f"/rules/{rule['id']}"))["series"]
    assert [(s["labels"], s["state"], s["value"]) for s in series] == [
        ({"app": "blog"}, "firing", 95),
        ({"app": "shop"}, "ok", 5),
    ]
    assert await node.state(one) == "ok"
    await node.measure(sample("app.cpu.usage_percent", 95, app="blog"), sample("app.cpu.usage_percent", 99, app="shop"))
    assert [a["labels"] for a in await node.ask("GET", f"?rule_id={rule['id']}")] == [{"app": "shop"}, {"app": "blog"}]
    assert await node.state(one) == "firing"


async def test_a_series_that_is_measured_no_longer_has_no_data_and_ends_what_fired(alerts):
    node = await alerts(patience_seconds=60)
    rule = await node.rule()
    await node.measure(95)
    await node.measure_for(60)
    assert await node.state(rule) == "firing"
    await node.measure()
    assert await node.state(rule) == "no_data"
    (ended,) = await node.ask("GET", "/history")
    assert (ended["state"], ended["resolution"]) == ("resolved", "no_data")
    await node.measure(95)
    assert await node.state(rule) == "firing"
    assert len(await node.ask("GET", "/history")) == 2


async def test_nobody_measuring_is_no_data_too(alerts):
    node = await alerts()
    rule = await node.rule(duration="5m")
    await node.measure(95)
    assert await node.state(rule) == "pending"
    for _ in range(8):
        await node.clock.advance(20)
    await node.until(lambda: _is(node, rule, "no_data"))


async def test_a_node_without_metrics_works_and_says_that_it_has_no_data(alerts):
    node = await alerts(metrics=False)
    rule = await node.rule()
    for _ in range(8):
        await node.clock.advance(20)
    assert await node.state(rule) == "no_data"
    assert node.running.state("alerts") == "running"


async def test_absent_fires_where_a_series_is_not_there(alerts):
    node = await alerts()
    absent = {"condition": "absent", "threshold": None, "duration": "30s", "metric": "app.cpu.usage_percent"}
    rule = await node.rule(**absent, labels={"app": "blog"})
    await node.measure(sample("app.cpu.usage_percent", 1, app="blog"))
    assert await node.state(rule) == "ok"
    await node.measure_for(30, sample("app.cpu.usage_percent", 1, app="shop"))
    assert await node.state(rule) == "pending"
    await node.measure(50)
    assert await node.state(rule) == "firing"
    (alert,) = await node.ask("GET", "")
    assert alert["summary"] == 'app.cpu.usage_percent{app="blog"} has not been measured for 30s.'
    assert (alert["value"], alert["labels"]) == (None, {"app": "blog"})
    await node.measure(sample("app.cpu.usage_percent", 1, app="blog"))
    assert await node.state(rule) == "ok"


async def test_what_was_pending_goes_on_after_a_restart_without_the_time_in_which_the_host_was_down(alerts):
    node = await alerts()
    rule = await node.rule(duration="5m")
    await node.measure_for(240, 95)
    await node.restart(down=600)
    assert await node.state(rule) == "pending"
    await node.measure(95)
    assert await node.state(rule) == "pending"
    await node.measure_for(20, 95)
    assert await node.state(rule) == "firing"


async def test_after_more_than_an_hour_without_the_host_what_was_pending_begins_anew(alerts):
    node = await alerts()
    rule = await node.rule(duration="5m")
    await node.measure_for(290, 95)
    await node.restart(down=2 * 3600)
    await node.measure_for(300, 95)
    assert await node.state(rule) == "pending"
    await node.measure(95)
    assert await node.state(rule) == "firing"


async def test_what_fires_fires_after_a_restart_and_is_told_once(alerts, slack):
    node = await alerts()
    channel = await node.channel()
    rule = await node.rule(channel_id=channel["id"])
    await node.measure(95)
    await node.until(lambda: len(slack.received) == 1)
    await node.restart(down=7200)
    await node.measure(95)
    assert await node.state(rule) == "firing"
    await node.measure(20)
    await node.until(lambda: len(slack.received) == 2)
    assert "Resolved: Busy on attic" in slack.texts()[1]
    assert await node.events("alert.fired", "alert.resolved") == ["alert.fired", "alert.resolved"]


async def test_a_clock_that_is_set_neither_fires_nor_forgets(alerts):
    node = await alerts()
    rule = await node.rule(duration="5m")
    await node.measure_for(100, 95)
    node.clock._passed += 1800
    await node.measure(95)
    assert await node.state(rule) == "pending"
    node.clock._passed -= 1700
    await node.measure_for(120, 95)
    assert await node.state(rule) == "pending"
    await node.measure_for(60, 95)
    assert await node.state(rule) == "firing"


async def test_who_was_told_that_a_rule_fires_is_told_when_it_is_changed_or_removed(alerts, slack):
    node = await alerts()
    channel = await node.channel()
    rule = await node.rule(channel_id=channel["id"])
    for number, (method, more) in enumerate([("PUT", {"json": {"threshold": 97}}), ("DELETE", {"status": 204})], 1):
        await node.measure(98)
        await node.until(lambda number=number: len(slack.received) == 2 * number - 1)
        await node.ask(method, f"/rules/{rule['id']}", **more)
        await node.until(lambda number=number: len(slack.received) == 2 * number)
        assert b"The rule was" in slack.received[-1].body


async def test_a_rule_that_asks_for_something_else_ends_what_fired(alerts, slack):
    node = await alerts()
    channel = await node.channel()
    rule = await node.rule(channel_id=channel["id"])
    await node.measure(95)
    await node.ask("PUT", f"/rules/{rule['id']}", json={"name": "Very busy", "severity": "critical"})
    assert len(await node.ask("GET", "")) == 1
    await node.ask("PUT", f"/rules/{rule['id']}", json={"threshold": 97})
    assert await node.ask("GET", "") == []
    assert (await node.ask("GET", "/history"))[0]["resolution"] == "rule_changed"
    await node.measure(98)
    await node.ask("PUT", f"/rules/{rule['id']}", json={"enabled": False})
    assert (await node.ask("GET", "/history"))[0]["resolution"] == "rule_disabled"
    await node.measure(98)
    assert await node.state(rule) == "disabled"
    await node.ask("PUT", f"/rules/{rule['id']}", json={"enabled": True})
    await node.measure(98)
    await node.ask("DELETE", f"/rules/{rule['id']}", 204)
    assert [a["resolution"] for a in await node.ask("GET", "/history")] == [
        "rule_removed",
        "rule_disabled",
        "rule_changed",
    ]
    await node.restart()
    assert await node.ask("GET", "") == []


async def _is(node, rule, state):
    return await node.state(rule) == state


async def test_a_rule_names_an_app_by_its_name_or_id_and_one_that_there_is_not_is_refused(alerts):
    node = await alerts(providing(Apps, FakeApps(AppAddress("app_1", "blog", "running", None))))
    rule = await node.rule(metric="app.cpu.usage_percent", labels={"app": "blog"})
    assert rule["labels"] == {"app": "app_1"}
    await node.measure(sample("app.cpu.usage_percent", 95, app="app_1"))
    assert await node.state(rule) == "firing"
    assert (await node.rule(metric="app.cpu.usage_percent", labels={"app": "app_1"}))["labels"] == {"app": "app_1"}
    body = {"name": "x", "metric": "app.cpu.usage_percent", "condition": "greater_than", "threshold": 1}
    refused = await node.ask("POST", "/rules", 400, json={**body, "labels": {"app": "blug"}})
    assert refused["fields"][0]["path"] == "labels.app" and refused["fields"][0]["nearest"] == ["blog"]
    await node.ask("PUT", f"/rules/{rule['id']}", 400, json={"labels": {"app": "none"}})
