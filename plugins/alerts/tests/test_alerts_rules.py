"""Rules by the API: the reference's body, what is refused and why, silence and acknowledgement."""

from __future__ import annotations

import asyncio

from cloudos_sdk.capabilities import Metric, MetricSource
from cloudos_sdk.testing.fakes import FakeMetricSource, providing

PRINTED = {
    "name": "High CPU Usage",
    "metric": "system.cpu.usage_percent",
    "condition": "greater_than",
    "threshold": 90,
    "duration": "5m",
    "severity": "warning",
}


async def test_the_rule_of_the_reference_is_made_as_it_is_printed(alerts):
    node = await alerts()
    channel = await node.channel()
    rule = await node.ask("POST", "/rules", 201, json={**PRINTED, "channel_id": channel["id"]})
    assert rule["id"].startswith("rule_")
    assert {name: rule[name] for name in PRINTED} == PRINTED
    assert (rule["channel_id"], rule["channel_ids"]) == (channel["id"], [channel["id"]])
    listed = await node.ask("GET", "/rules")
    assert listed == [{name: value for name, value in rule.items() if name != "series"}]
    assert await node.ask("GET", f"/rules/{rule['id']}") == rule
    assert "alert.rule_added" in await node.events()


async def test_several_channels_may_be_told(alerts):
    node = await alerts()
    one, two = await node.channel(), await node.channel(name="Second")
    rule = await node.rule(channel_id=two["id"], channel_ids=[one["id"], two["id"]])
    assert rule["channel_ids"] == [two["id"], one["id"]]
    assert rule["channel_id"] == two["id"]
    rule = await node.ask("PUT", f"/rules/{rule['id']}", json={"channel_id": None})
    assert (rule["channel_id"], rule["channel_ids"]) == (None, [])


async def test_an_unknown_metric_is_told_the_nearest(alerts):
    node = await alerts()
    problem = await node.ask("POST", "/rules", 400, json={**PRINTED, "metric": "system.cpu.usage_procent"})
    assert problem["error"] == "invalid_request"
    (field,) = problem["fields"]
    assert field["path"] == "metric"
    assert field["nearest"][0] == "system.cpu.usage_percent"
    assert "system.cpu.usage_percent" in problem["message"]


async def test_a_channel_that_does_not_exist_is_told_the_nearest(alerts):
    node = await alerts()
    channel = await node.channel()
    problem = await node.ask("POST", "/rules", 400, json={**PRINTED, "channel_id": "ch_abc123"})
    assert [field["path"] for field in problem["fields"]] == ["channel_id"]
    assert problem["fields"][0]["nearest"] == [f"{channel['id']} (Ops)"]
    ids = [channel["id"], channel["id"][:-1]]
    problem = await node.ask("POST", "/rules", 400, json={**PRINTED, "channel_ids": ids})
    assert [field["path"] for field in problem["fields"]] == ["channel_ids.1"]


async def test_a_label_that_a_metric_does_not_have_is_named(alerts):
    node = await alerts()
    problem = await node.ask(
        "POST", "/rules", 400, json={**PRINTED, "metric": "app.cpu.usage_percent", "labels": {"disk": "sda"}}
    )
    assert problem["fields"] == [
        {
            "path": "labels.disk",
            "message": "app.cpu.usage_percent has no label 'disk'; it has app. Nearest: app.",
            "nearest": ["app"],
        }
    ]


async def test_metrics_of_any_plugin_may_be_watched_and_are_listed(alerts):
    source = FakeMetricSource(Metric("shop.orders.open", "orders", "Orders that are open", ("shop",)))
    node = await alerts(providing(MetricSource, source))
    await node.rule(metric="shop.orders.open", labels={"shop": "north"})
    listed = {metric["name"]: metric for metric in await node.ask("GET", "/metrics")}
    assert listed["shop.orders.open"] == {
        "name": "shop.orders.open",
        "unit": "orders",
        "help": "Orders that are open",
        "labels": ["shop"],
    }
    assert listed["event.app.crashed"]["labels"] == ["app"]


MISFITS = [
    ({"threshold": None}, "threshold"),
    ({"condition": "absent"}, "threshold"),
    ({"condition": "bigger"}, "condition"),
    ({"duration": "5 minutes"}, "duration"),
    ({"duration": ""}, "duration"),
    ({"duration": "99999d"}, "duration"),
    ({"duration": 300}, "duration"),
    ({"severity": "fatal"}, "severity"),
    ({"recovery_threshold": 95}, "recovery_threshold"),
    ({"condition": "equals", "recovery_threshold": 80}, "recovery_threshold"),
    ({"repeat_interval": "10s"}, "repeat_interval"),
    ({"threshold": "much"}, "threshold"),
    ({"name": "  "}, "name"),
    ({"colour": "red"}, "colour"),
    ({"labels": {"app": 3}}, "labels.app"),
]


async def test_what_does_not_fit_is_named(alerts):
    node = await alerts()
    made = await node.rule()
    for change, path in MISFITS:
        problem = await node.ask("POST", "/rules", 400, json={**PRINTED, **change})
        assert path in [field["path"] for field in problem["fields"]], (change, problem)
        await node.ask("PUT", f"/rules/{made['id']}", 400, json=change)


async def test_what_is_not_named_in_a_change_stays(alerts):
    node = await alerts()
    rule = await node.rule(duration="1h30m", repeat_interval="4h", recovery_threshold=80)
    changed = await node.ask("PUT", f"/rules/{rule['id']}", json={"threshold": 95, "repeat_interval": None})
    kept = {name: rule[name] for name in rule if name not in ("threshold", "repeat_interval", "updated_at")}
    assert {name: changed[name] for name in kept} == kept
    assert (changed["threshold"], changed["repeat_interval"], changed["duration"]) == (95, None, "1h30m")


async def test_what_is_not_there_is_404(alerts):
    node = await alerts()
    for method, path in [
        ("GET", "/rules/rule_none"),
        ("PUT", "/rules/rule_none"),
        ("DELETE", "/rules/rule_none"),
        ("POST", "/rules/rule_none/silence"),
        ("POST", "/rules/rule_none/unsilence"),
        ("POST", "/rules/rule_none/acknowledge"),
        ("GET", "/alert_none"),
        ("POST", "/alert_none/acknowledge"),
        ("GET", "/channels/ch_none"),
        ("PUT", "/channels/ch_none"),
        ("DELETE", "/channels/ch_none"),
        ("POST", "/channels/ch_none/test"),
    ]:
        body = {"duration": "1h"} if path.endswith("silence") and "un" not in path else {}
        problem = await node.ask(method, path, 404, **({} if method in ("GET", "DELETE") else {"json": body}))
        assert problem["error"].endswith("_not_found")
    for name in ("before", "after"):
        problem = await node.ask("GET", f"/history?{name}=alert_none", 400)
        assert problem["fields"] == [{"path": name, "message": "there is no alert 'alert_none'"}]


async def test_viewers_read_operators_make_rules_and_admins_channels(alerts):
    node = await alerts()
    channel, rule = await node.channel(), await node.rule()
    viewer, operator = node.running.viewer, node.running.operator
    for path in ("", "/history", "/rules", "/channels", "/metrics", f"/rules/{rule['id']}"):
        await node.ask("GET", path, client=viewer)
    await node.ask("POST", "/rules", 403, client=viewer, json=PRINTED)
    await node.ask("POST", f"/rules/{rule['id']}/silence", 403, client=viewer, json={"duration": "1h"})
    await node.ask("POST", "/rules", 201, client=operator, json=PRINTED)
    await node.ask("DELETE", f"/channels/{channel['id']}", 403, client=operator)
    await node.ask("POST", f"/channels/{channel['id']}/test", 403, client=operator, json={})
    await node.ask("POST", "/channels", 403, client=operator, json={"name": "x", "type": "slack", "config": {}})
    await node.ask("GET", "/rules", 401, client=node.running.anonymous)


async def test_a_silenced_rule_fires_and_tells_nobody_until_the_silence_ends(alerts, slack):
    node = await alerts()
    channel = await node.channel()
    rule = await node.rule(channel_id=channel["id"])
    body = {"duration": "10m", "reason": "disk is being replaced"}
    silenced = await node.ask("POST", f"/rules/{rule['id']}/silence", json=body)
    assert (silenced["silenced_until"], silenced["silence_reason"]) == (
        "2026-01-01T00:10:00Z",
        "disk is being replaced",
    )
    await node.measure(95)
    assert await node.state(rule) == "firing"
    assert "alert.fired" in await node.events()
    await node.measure_for(60, 95)
    assert slack.received == []
    await node.restart()
    await node.measure(95, after=600)
    await node.until(lambda: slack.received)
    assert (await node.ask("GET", f"/rules/{rule['id']}"))["silenced_until"] is None


async def test_the_end_of_what_nobody_was_told_of_is_not_told(alerts, slack):
    node = await alerts()
    channel = await node.channel()
    rule = await node.rule(channel_id=channel["id"])
    await node.ask("POST", f"/rules/{rule['id']}/silence", json={"until": "2026-01-01T01:00:00+01:00"}, status=400)
    await node.ask("POST", f"/rules/{rule['id']}/silence", json={"until": "2026-01-01T02:00:00+01:00"})
    await node.measure(95)
    await node.measure(5)
    await node.ask("POST", f"/rules/{rule['id']}/unsilence", json={})
    await node.measure(5)
    await node.measure(95)
    await node.until(lambda: slack.received)
    assert len(slack.received) == 1 and "Warning: Busy on attic" in slack.texts()[0]


async def test_a_silence_has_one_end_that_lies_ahead(alerts):
    node = await alerts()
    rule = await node.rule()
    both = {"duration": "1h", "until": "2026-01-02T00:00:00Z"}
    for body in ({}, both, {"duration": "0s"}, {"duration": "2000d"}, {"until": "9999-12-31T23:59:59-10:00"}):
        problem = await node.ask("POST", f"/rules/{rule['id']}/silence", 400, json=body)
        assert problem["fields"][0]["path"] in ("duration", "until")


async def test_an_alert_is_repeated_until_somebody_takes_notice(alerts, slack):
    node = await alerts(patience_seconds=3600)
    channel = await node.channel()
    rule = await node.rule(channel_id=channel["id"], repeat_interval="1h", severity="critical")
    await node.measure(95)
    await node.until(lambda: len(slack.received) == 1)
    await node.measure(96, after=1800)
    await node.measure(97, after=1800)
    await node.until(lambda: len(slack.received) == 2)
    assert "Critical: Busy on attic" in slack.texts()[1] and "Still: " in slack.texts()[1]
    (alert,) = await node.ask("GET", "")
    seen = await node.ask("POST", f"/{alert['id']}/acknowledge", json={"note": "looking"}, client=node.running.operator)
    assert (seen["acknowledged_by"], seen["note"]) == ("operator", "looking")
    assert [n["kind"] for n in seen["notifications"]] == ["fired", "repeated"]
    await node.restart()
    for _ in range(4):
        await node.measure(97, after=1800)
    assert len(slack.received) == 2
    await node.measure(1)
    await node.until(lambda: len(slack.received) == 3)
    assert "alert.acknowledged" in await node.events()
    assert await node.ask("POST", f"/rules/{rule['id']}/acknowledge", json={}) == []


async def test_the_history_has_pages_and_filters(alerts):
    node = await alerts()
    rule, other = await node.rule(), await node.rule(severity="info", threshold=50)
    for _ in range(3):
        await node.measure(95)
        await node.measure(1)
    everything = [a["id"] for a in await node.ask("GET", "/history")]
    assert len(everything) == 6
    first = await node.ask("GET", "/history?limit=4")
    assert [a["id"] for a in first] == everything[:4]
    assert [a["id"] for a in await node.ask("GET", f"/history?before={everything[3]}")] == everything[4:]
    assert [a["id"] for a in await node.ask("GET", f"/history?limit=1&after={everything[3]}")] == [everything[2]]
    assert {a["rule_id"] for a in await node.ask("GET", f"/history?rule_id={rule['id']}")} == {rule["id"]}
    assert {a["rule_id"] for a in await node.ask("GET", "/history?severity=info")} == {other["id"]}
    assert await node.ask("GET", "/history?state=firing") == []
    await node.ask("GET", "/history?limit=501", 400)


async def test_old_history_goes_and_what_fires_stays(alerts):
    node = await alerts(history_days=30)
    await node.rule()
    await node.measure(95)
    await node.measure(1)
    await node.restart(down=31 * 86400)
    await node.measure(95)
    await node.running.run_job("alerts", "prune-history")
    assert [a["state"] for a in await node.ask("GET", "/history")] == ["firing"]


async def test_a_new_node_has_seven_rules_once(alerts):
    node = await alerts(default_rules=True)
    rules = await node.ask("GET", "/rules")
    assert {rule["metric"]: rule["channel_ids"] for rule in rules} == {
        "system.disk.usage_percent": [],
        "system.memory.usage_percent": [],
        "event.app.crashed": [],
        "backup.schedule.failures": [],
        "backup.app.overdue": [],
        "proxy.certificate.days_left": [],
        "system.disk.failing": [],
    }
    for rule in rules:
        await node.ask("DELETE", f"/rules/{rule['id']}", 204)
    await node.restart()
    assert await node.ask("GET", "/rules") == []


async def test_the_models_are_what_the_migrations_made(alerts):
    assert (await alerts()).running.schema_differences("alerts") == []


async def test_of_two_changes_of_a_rule_at_once_none_is_lost(alerts):
    node = await alerts()
    rule = await node.rule()
    path = f"/rules/{rule['id']}"
    async with node.engine.lock:  # both have begun; what one writes must not be what it read before the other
        changes = [asyncio.create_task(node.ask("PUT", path, json=b)) for b in ({"threshold": 50}, {"name": "Hot"})]
        await asyncio.sleep(0.1)
    await asyncio.gather(*changes)
    rule = await node.ask("GET", path)
    assert (rule["threshold"], rule["name"]) == (50, "Hot")
