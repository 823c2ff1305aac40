"""Notifications: none is lost, what fails is tried again, a dead channel is told and recovers."""

from __future__ import annotations

import sqlalchemy as sa
from cloudos_alerts.notify.outbox import wait_after
from cloudos_alerts.plugin import cloudos_health
from components.notification_sinks import slow


async def firing(node, **members):
    """Have a rule with a channel fire."""
    channel = await node.channel(**members)
    rule = await node.rule(channel_id=channel["id"])
    await node.measure(95)
    return channel, rule


async def shown(node, channel):
    return await node.ask("GET", f"/channels/{channel['id']}")


async def test_a_channel_that_fails_is_tried_again_until_it_takes_the_message(alerts, slack):
    node = await alerts()
    slack.refuse(500)
    channel, _ = await firing(node)
    await node.until(lambda: len(slack.received) == 1)
    await node.until(lambda: _waits(node, channel, "500"))
    await node.clock.advance(8)
    assert len(slack.received) == 1
    slack.accept()
    await node.until(lambda: _in_time(node, lambda: _sent(node, channel)))
    assert len(slack.received) == 2
    assert "alert.channel_failed" not in await node.events()


async def test_a_dead_channel_is_marked_told_and_recovers_with_the_next_success(alerts, slack):
    node = await alerts(patience_seconds=3600)
    slack.refuse(503, b"down")
    channel, _ = await firing(node)
    await node.until(lambda: _in_time(node, lambda: _failed(node, channel, 3)))
    assert len(slack.received) == 3
    seen = await shown(node, channel)
    assert (seen["status"], seen["waiting"]) == ("failing", 1)
    assert "503" in seen["last_error"] and "down" in seen["last_error"]
    health = await cloudos_health(node.running.ctx("alerts"))
    assert not health.ok and "Ops" in health.detail and "503" in health.detail
    assert "down" not in health.detail, "whoever may see plugins reads that"
    assert (await node.events()).count("alert.channel_failed") == 1
    await node.restart()
    assert not (await cloudos_health(node.running.ctx("alerts"))).ok
    slack.accept()
    trial = await node.ask("POST", f"/channels/{channel['id']}/test", json={})
    assert trial["delivered"]
    await node.until(lambda: _sent(node, channel))
    assert (await shown(node, channel))["status"] == "ok"
    assert (await cloudos_health(node.running.ctx("alerts"))).ok
    assert (await node.events()).count("alert.channel_recovered") == 1


async def test_a_service_that_asks_for_patience_gets_it_and_is_not_called_dead(alerts, slack):
    node = await alerts(patience_seconds=3600)
    slack.refuse(429, b"rate_limited")
    channel, _ = await firing(node)
    await node.until(lambda: _waits(node, channel, "rate_limited"))
    await node.clock.advance(20)
    assert len(slack.received) == 1
    await node.until(lambda: _in_time(node, lambda: _is_at_least(slack, 4)))
    assert (await shown(node, channel))["status"] == "untried"
    slack.accept()
    await node.until(lambda: _in_time(node, lambda: _sent(node, channel)))


async def test_fired_comes_before_resolved_however_often_it_was_tried(alerts, slack):
    node = await alerts()
    slack.refuse(500)
    channel, _ = await firing(node)
    await node.until(lambda: _failed(node, channel, 1))
    await node.measure(1, after=1)
    slack.accept()
    await node.until(lambda: _in_time(node, lambda: _sent(node, channel)))
    assert ["Resolved" in text for text in slack.texts()[-2:]] == [False, True]


async def test_a_message_that_is_refused_does_not_hold_up_the_others(alerts, slack):
    node = await alerts()
    channel = await node.channel()
    slack.answer = lambda request: (400, b"no") if b"Poison" in request.body else (200, b"ok")
    await node.rule(name="Poison", channel_id=channel["id"])
    await node.measure(95)
    await node.until(lambda: _failed(node, channel, 1))
    await node.rule(name="Good", channel_id=channel["id"], threshold=50)
    await node.measure(95, after=1)
    await node.until(lambda: _in_time(node, lambda: _has(slack, "Good")))


async def test_a_slow_channel_does_not_delay_another(alerts, sink, other_sink):
    node = await alerts()
    sink.answer = slow(3)
    lame = await node.channel(type="webhook", config={"url": sink.url})
    quick = await node.channel(type="webhook", config={"url": other_sink.url})
    for number in range(5):
        await node.rule(name=f"r{number}", channel_ids=[lame["id"], quick["id"]])
    await node.measure(95)
    await node.until(lambda: len(other_sink.received) == 5)
    assert len(sink.received) <= 1


async def test_what_is_too_old_is_given_up_and_the_history_says_so(alerts, slack):
    node = await alerts(give_up_hours=1)
    slack.refuse(500)
    channel, _ = await firing(node)
    await node.until(lambda: _failed(node, channel, 1))
    (alert,) = await node.ask("GET", "")
    await node.until(lambda: _given_up(node, alert))
    told = (await node.ask("GET", f"/{alert['id']}"))["notifications"][0]
    assert told["kind"] == "fired" and told["attempts"] >= 1 and "500" in told["error"]


async def test_a_channel_whose_settings_cannot_be_decrypted_fails_and_can_be_mended(alerts, slack):
    node = await alerts()
    channel = await node.channel()
    ctx = node.running.ctx("alerts")
    await ctx.db.write(lambda s: s.execute(sa.text("UPDATE alerts_channel SET config = 'garbage'")))
    trial = await node.ask("POST", f"/channels/{channel['id']}/test", json={})
    assert not trial["delivered"] and "key" in trial["reason"]
    assert (await shown(node, channel))["config"] == {}
    url = "https://hooks.slack.com/services/T00/B00/xxxx"
    await node.ask("PUT", f"/channels/{channel['id']}", json={"config": {"webhook_url": url}})
    assert (await node.ask("POST", f"/channels/{channel['id']}/test", json={}))["delivered"]


async def test_a_repetition_waits_for_nothing_that_says_the_same(alerts, slack):
    node = await alerts()
    slack.refuse(500)
    channel = await node.channel()
    await node.rule(channel_id=channel["id"], repeat_interval="1m")
    await node.measure(95)
    for _ in range(5):
        await node.measure(95, after=60)
    assert (await shown(node, channel))["waiting"] == 1


def test_the_wait_grows_to_an_hour():
    waits = [wait_after(failures) for failures in (1, 2, 3, 10, 1000)]
    assert 9 <= waits[0] <= 11 and 27 <= waits[1] <= 33 and 81 <= waits[2] <= 99
    assert all(3240 <= wait <= 3960 for wait in waits[3:])


async def _waits(node, channel, words):
    seen = await shown(node, channel)
    return seen["waiting"] == 1 and words in (seen["last_error"] or "")


async def _sent(node, channel):
    return (await shown(node, channel))["waiting"] == 0


async def _failed(node, channel, times):
    statement = sa.text("SELECT failures FROM alerts_channel")
    rows = await node.running.ctx("alerts").db.read(lambda s: s.execute(statement).scalars().all())
    return rows == [times]


async def _given_up(node, alert):
    await node.clock.advance(600)
    told = (await node.ask("GET", f"/{alert['id']}"))["notifications"]
    return told[0]["state"] == "given_up"


async def _in_time(node, true):
    """Let three seconds pass, and tell whether something is so then."""
    await node.clock.advance(3)
    return await true()


async def _is_at_least(sink, count):
    return len(sink.received) >= count


async def _has(sink, word):
    return any(word in text for text in sink.texts())
