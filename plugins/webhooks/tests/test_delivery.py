"""From an event to the receiver: signed, in order, again where it was refused, and no endpoint in another's way."""

import asyncio
import json
from datetime import datetime

import pytest
from webhook_node import until, verify

DAY = 86_400


async def test_an_event_arrives_signed_as_standard_webhooks_says(webhooks, webhook_sink):
    node = await webhooks()
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    [id] = await node.emit("box")
    await node.emit("coin", event=node.Lost)
    [delivery] = await node.state(hook, "delivered")
    [request] = webhook_sink.received
    assert request.headers["webhook-id"] == id == delivery["event_id"]
    assert request.headers["content-type"] == "application/json"
    body = json.loads(verify(hook["secret"], request))
    assert list(body) == ["id", "type", "timestamp", "data"]
    assert (body["id"], body["type"], body["timestamp"]) == (id, "thing.made", "2026-01-01T00:00:00Z")
    assert body["data"] == {"resource": "box", "details": "It is box"}
    assert delivery["payload"] == body and delivery["next_attempt_at"] is None
    [attempt] = delivery["attempts"]
    assert (attempt["number"], attempt["status"], attempt["excerpt"], attempt["error"]) == (1, 200, "ok", None)
    assert (await node.get(hook))["last_delivered_at"] == "2026-01-01T00:00:00Z"


async def test_all_events_are_all_and_webhooks_of_their_own_do_not_go_round(webhooks, webhook_sink):
    node = await webhooks()
    hook = await node.create(webhook_sink.url("/all"))
    await node.emit("a")
    await node.emit("b", event=node.Lost)
    await until(lambda: len(webhook_sink.received) >= 3)
    await asyncio.sleep(0.2)
    types = [json.loads(request.body)["type"] for request in webhook_sink.received]
    assert types == ["webhook.created", "thing.made", "thing.lost"]
    assert len(await node.deliveries(hook)) == 3


async def test_what_happens_while_a_webhook_is_inactive_is_not_for_it(webhooks, webhook_sink):
    node = await webhooks()
    hook = await node.create(webhook_sink.url("/a"), "thing.made", active=False)
    watcher = await node.create(webhook_sink.url("/b"), "thing.made")
    await node.emit("before")
    await node.state(watcher, "delivered")
    await node.ask("PUT", f"/{hook['id']}", json={"active": True})
    [after] = await node.emit("after")
    await node.state(hook, "delivered")
    assert webhook_sink.taken("/a") == [after]


async def test_order_is_kept_while_the_endpoint_is_well(webhooks, webhook_sink):
    node = await webhooks()
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    ids = await node.emit(*(str(number) for number in range(150)))
    await until(lambda: len(webhook_sink.taken("/hook")) >= 150)
    assert webhook_sink.taken("/hook") == ids
    assert webhook_sink.connections == 1, "one connection for all"
    await node.state(hook, "delivered", 150)


async def test_a_refused_delivery_is_tried_again_and_the_next_ones_go_on(webhooks, webhook_sink):
    node = await webhooks(retry_seconds=[5, 60])
    webhook_sink.mode["/hook"] = "fail"
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    [first] = await node.emit("first")
    [delivery] = await node.state(hook, "retrying")
    assert delivery["attempts"][0]["error"] == "the receiver answered 500"
    assert delivery["attempts"][0]["excerpt"] == "broken"
    assert "2026-01-01T00:00:04Z" <= delivery["next_attempt_at"] <= "2026-01-01T00:00:06Z"
    webhook_sink.mode["/hook"] = "ok"
    [second] = await node.emit("second")
    await node.state(hook, "delivered")
    assert webhook_sink.taken("/hook") == [second]
    await node.running.clock.advance(6)
    await node.state(hook, "delivered", 2)
    assert webhook_sink.taken("/hook") == [second, first]
    tries = webhook_sink.at("/hook")
    assert tries[0].headers["webhook-id"] == tries[2].headers["webhook-id"], "an id stays over all tries"
    assert tries[0].headers["webhook-timestamp"] != tries[2].headers["webhook-timestamp"], "a time is of one try"
    verify(hook["secret"], tries[2])


async def test_a_clock_that_is_set_back_puts_no_delivery_off(webhooks, webhook_sink):
    node = await webhooks(retry_seconds=[5, 60])
    webhook_sink.mode["/hook"] = "fail"
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    await node.emit("first")
    await node.state(hook, "retrying")
    webhook_sink.mode["/hook"] = "ok"
    node.running.clock.set_back(30 * DAY)

    async def delivered():
        await node.running.clock.advance(60)  # anew, since it may begin to wait only now
        return [delivery for delivery in await node.deliveries(hook) if delivery["state"] == "delivered"]

    await until(delivered)


async def test_after_eight_tries_over_about_a_day_the_endpoint_is_failing(webhooks, webhook_sink):
    node = await webhooks()
    webhook_sink.mode["/dead"] = "fail"
    hook, witness = await node.create(webhook_sink.url("/dead"), "thing.made"), None
    await node.emit("one")
    clock = node.running.clock
    for count in range(1, 8):
        [delivery] = await until(lambda count=count: _tried(node, hook, count))
        assert (await node.get(hook))["status"] == "healthy"
        due = delivery["next_attempt_at"]
        while clock.now().strftime("%Y-%m-%dT%H:%M:%SZ") <= due:
            await clock.advance(min(900, max(1, _seconds(due, clock))) + 1)
    [delivery] = await node.state(hook, "failed")
    assert len(delivery["attempts"]) == 8 and len(webhook_sink.at("/dead")) == 8
    assert 0.8 * DAY < clock.monotonic() < 1.2 * DAY
    marked = await node.get(hook)
    assert marked["status"] == "failing" and marked["failing_since"] is not None
    assert (await node.types())[-1] == "webhook.failing"
    witness = await node.create(webhook_sink.url("/witness"), "thing.made")
    await node.emit("two")
    await node.state(witness, "delivered")
    assert len(webhook_sink.at("/dead")) == 8, "nothing more is sent"
    assert (await node.get(hook))["waiting"] == 1, "and nothing is lost"


def _seconds(due, clock):
    return (datetime.fromisoformat(due) - clock.now()).total_seconds()


async def _tried(node, hook, count):
    found = await node.deliveries(hook)
    return found if found and len(found[0]["attempts"]) >= count else None


@pytest.fixture
async def failing(webhooks, webhook_sink):
    """A node with an endpoint that failed once and for all, one delivery failed and three that wait."""
    node = await webhooks(retry_seconds=[])
    webhook_sink.mode["/hook"] = "fail"
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    await node.emit("one")
    await node.state(hook, "failed")
    waiting = await node.emit("two", "three", "four")
    await node.state(hook, "waiting", 3)
    assert (await node.get(hook))["status"] == "failing"
    webhook_sink.mode["/hook"] = "ok"
    return node, hook, waiting


async def test_a_test_that_succeeds_mends_a_failing_endpoint(failing, webhook_sink):
    node, hook, waiting = failing
    webhook_sink.mode["/hook"] = "fail"
    tested = await node.ask("POST", f"/{hook['id']}/test")
    assert (tested["state"], tested["attempts"][0]["status"]) == ("failed", 500)
    assert (await node.get(hook))["status"] == "failing"
    webhook_sink.mode["/hook"] = "ok"
    tested = await node.ask("POST", f"/{hook['id']}/test")
    assert (tested["state"], tested["type"], tested["attempts"][0]["excerpt"]) == ("delivered", "webhook.test", "ok")
    await node.state(hook, "delivered", 4)
    assert webhook_sink.taken("/hook") == [tested["event_id"], *waiting], "what waited comes in order"
    assert (await node.get(hook))["status"] == "healthy"
    assert (await node.types())[-1] == "webhook.recovered"


async def test_a_redelivery_that_succeeds_mends_a_failing_endpoint(failing, webhook_sink):
    node, hook, waiting = failing
    [failed] = await node.state(hook, "failed")
    again = await node.ask("POST", f"/{hook['id']}/deliveries/{failed['id']}/redeliver")
    assert (again["id"], again["state"], len(again["attempts"])) == (failed["id"], "delivered", 2)
    await node.state(hook, "delivered", 4)
    assert webhook_sink.taken("/hook") == [failed["event_id"], *waiting]


@pytest.mark.parametrize("change", [{"active": True}, {"url": "/other"}])
async def test_an_update_mends_a_failing_endpoint(failing, webhook_sink, change):
    node, hook, waiting = failing
    path = change.get("url", "/hook")
    change = {**change, "url": webhook_sink.url(path)}
    assert (await node.ask("PUT", f"/{hook['id']}", json=change))["status"] == "healthy"
    await node.state(hook, "delivered", 3)
    assert webhook_sink.taken(path) == waiting


async def test_failing_outlives_a_restart(failing, webhook_sink):
    node, hook, _ = failing
    await node.restart()
    await asyncio.sleep(0.2)
    assert (await node.get(hook))["status"] == "failing" and webhook_sink.taken("/hook") == []


async def test_an_endpoint_that_refuses_some_messages_is_not_failing(webhooks, webhook_sink):
    node = await webhooks(retry_seconds=[10])
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    webhook_sink.mode["/hook"] = "refuse"
    await node.emit("poison")
    await node.state(hook, "retrying")
    webhook_sink.mode["/hook"] = "ok"
    await node.running.clock.advance(1)
    await node.emit("good")
    await node.state(hook, "delivered")
    webhook_sink.mode["/hook"] = "refuse"
    await node.running.clock.advance(20)
    await node.state(hook, "failed")
    assert (await node.get(hook))["status"] == "healthy"


async def test_an_endpoint_that_is_down_is_tried_with_what_was_refused_and_keeps_the_rest_in_order(
    webhooks, webhook_sink
):
    node = await webhooks(retry_seconds=[10] * 7)
    webhook_sink.mode["/hook"] = "fail"
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    ids = await node.emit(*(str(number) for number in range(40)))
    await node.state(hook, "retrying", 5)
    await asyncio.sleep(0.2)
    assert len(webhook_sink.received) == 5, "the sixth is not tried at an endpoint that refused five"
    assert len([d for d in await node.deliveries(hook) if d["state"] == "waiting"]) == 35
    webhook_sink.mode["/hook"] = "ok"
    await node.running.clock.advance(12)
    await node.state(hook, "delivered", 40)
    taken = webhook_sink.taken("/hook")
    assert taken[0] in ids[:5], "the first that is due is the probe"
    assert taken[1:] == [id for id in ids if id != taken[0]], "then comes all the rest, at once and in order"


async def test_a_receiver_that_is_gone_is_asked_no_more(webhooks, webhook_sink):
    node = await webhooks()
    webhook_sink.mode["/hook"] = "gone"
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    await node.emit("one", "two")
    await node.state(hook, "failed")
    await asyncio.sleep(0.1)
    assert len(webhook_sink.received) == 1 and (await node.get(hook))["status"] == "failing"


async def test_a_receiver_that_asks_for_a_pause_gets_one(webhooks, webhook_sink):
    node = await webhooks()
    webhook_sink.mode["/hook"] = "busy"
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    await node.emit("one", "two")
    await node.state(hook, "retrying")
    webhook_sink.mode["/hook"] = "ok"
    await node.running.clock.advance(60)
    assert len(webhook_sink.received) == 1
    await node.running.clock.advance(70)
    await node.state(hook, "delivered", 2)


async def test_a_slow_endpoint_and_a_dead_one_delay_nobody(webhooks, webhook_sink):
    node = await webhooks(timeout_seconds=5)
    webhook_sink.mode |= {"/hangs": "hang", "/slow": "slow", "/closes": "close"}
    hooks = {path: await node.create(webhook_sink.url(path), "thing.made") for path in ("/hangs", "/slow", "/closes")}
    well = await node.create(webhook_sink.url("/well"), "thing.made")
    ids = await node.emit(*(str(number) for number in range(100)))
    async with asyncio.timeout(3):
        await until(lambda: len(webhook_sink.taken("/well")) == 100)
    assert webhook_sink.taken("/well") == ids
    assert len(webhook_sink.at("/hangs")) == 1
    assert (await node.get(hooks["/hangs"]))["waiting"] == 100 and (await node.get(well))["waiting"] <= 100


async def test_both_secrets_sign_for_a_day_after_a_rotation(webhooks, webhook_sink):
    node = await webhooks()
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    rotated = await node.ask("POST", f"/{hook['id']}/rotate-secret")
    assert rotated["secret"] != hook["secret"] and rotated["previous_until"] == "2026-01-02T00:00:00Z"
    await node.restart()
    await node.emit("one")
    await node.state(hook, "delivered")
    verify(hook["secret"], webhook_sink.received[0])
    verify(rotated["secret"], webhook_sink.received[0])
    await node.running.clock.advance(DAY + 1)
    await node.emit("two")
    await node.state(hook, "delivered", 2)
    verify(rotated["secret"], webhook_sink.received[1])
    with pytest.raises(AssertionError):
        verify(hook["secret"], webhook_sink.received[1])
    assert await node.types() == ["webhook.created", "webhook.updated"]


async def test_deliveries_come_in_pages(webhooks, webhook_sink):
    node = await webhooks()
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    ids = await node.emit(*(str(number) for number in range(7)))
    await node.state(hook, "delivered", 7)
    first = await node.deliveries(hook, "?limit=3")
    assert [d["event_id"] for d in first] == ids[:3:-1]
    second = await node.deliveries(hook, f"?limit=3&before={first[-1]['id']}")
    assert [d["event_id"] for d in second] == ids[3:0:-1]
    assert await node.deliveries(hook, f"?limit=3&after={second[0]['id']}") == first
    for name in ("before", "after"):
        problem = await node.ask("GET", f"/{hook['id']}/deliveries?{name}=whd_none", 400)
        assert problem["fields"] == [{"path": name, "message": "there is no delivery 'whd_none'"}]
    assert (await node.ask("POST", f"/{hook['id']}/deliveries/whd_none/redeliver", 404))[
        "error"
    ] == "delivery_not_found"


async def test_deliveries_are_kept_for_their_time(webhooks, webhook_sink):
    node = await webhooks(retention_days=30)
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    await node.emit("old")
    await node.state(hook, "delivered")
    node.running.clock._passed += 29 * DAY
    [new] = await node.emit("new")
    await node.state(hook, "delivered", 2)
    node.running.clock._passed += 2 * DAY
    await node.running.run_job("webhooks", "prune-deliveries")
    assert [d["event_id"] for d in await node.deliveries(hook)] == [new]


async def test_an_event_that_comes_twice_is_one_delivery(webhooks, webhook_sink):
    from cloudos_webhooks.delivery.event_consumer import EventConsumer

    node = await webhooks()
    hook = await node.create(webhook_sink.url("/hook"), "thing.made")
    [id] = await node.emit("one")
    await node.state(hook, "delivered")
    [event] = [event for event in await node.running.event_log() if event.id == id]
    await node.running.ctx("webhooks").use(EventConsumer).handle([event])
    assert len(await node.deliveries(hook)) == 1 and webhook_sink.taken("/hook") == [id]
