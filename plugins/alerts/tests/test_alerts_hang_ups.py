"""Whoever hangs up while a change is stored has made it all the same: memory mirrors what was committed."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

from cloudos_alerts.notify.outbox import ChannelTrouble, NotificationOutbox


@asynccontextmanager
async def writer_held(node):
    """Hold the database's writer: what is asked for meanwhile waits behind it."""
    go, begun = threading.Event(), threading.Event()

    def wait(session):
        begun.set()
        go.wait(10)

    db = node.running.ctx("alerts").db
    task = asyncio.create_task(db.write(wait))
    await asyncio.to_thread(begun.wait, 10)
    try:
        yield
    finally:
        go.set()
        await task
        await db.write(lambda session: None)


async def hang_up(node, method, path, **kwargs):
    """Ask, and go away once the change waits for the database."""
    queue = node.running.ctx("alerts").db._queue
    asking = asyncio.create_task(node.running.client.request(method, f"/api/alerts{path}", **kwargs))
    before = queue.qsize()
    await node.until(lambda: queue.qsize() > before)
    asking.cancel()
    return asking


async def test_a_rule_whose_removal_nobody_waited_for_is_gone_from_the_evaluation(alerts):
    node = await alerts()
    rule = await node.rule()
    async with writer_held(node):
        asking = await hang_up(node, "DELETE", f"/rules/{rule['id']}")
        await asyncio.wait([asking], timeout=0.1)
        assert node.engine.lock.locked(), "nothing is evaluated by what is about to change"
    await asyncio.wait([asking])
    await node.ask("GET", f"/rules/{rule['id']}", 404)
    assert rule["id"] not in node.engine.rules
    await node.measure(99)
    assert await node.ask("GET", "") == []


async def test_a_rule_that_was_made_changed_or_silenced_is_so_in_the_evaluation(alerts):
    node = await alerts()
    async with writer_held(node):
        made = await hang_up(node, "POST", "/rules", json=_RULE)
    await asyncio.wait([made])
    (rule,) = await node.ask("GET", "/rules")
    assert rule["id"] in node.engine.rules
    async with writer_held(node):
        changed = await hang_up(node, "PUT", f"/rules/{rule['id']}", json={"threshold": 50})
    await asyncio.wait([changed])
    assert node.engine.rules[rule["id"]].condition.threshold == 50
    async with writer_held(node):
        silenced = await hang_up(node, "POST", f"/rules/{rule['id']}/silence", json={"duration": "1h"})
    await asyncio.wait([silenced])
    assert node.engine.rules[rule["id"]].silenced_until is not None


async def test_an_acknowledgement_that_nobody_waited_for_is_known(alerts):
    node = await alerts()
    rule = await node.rule()
    await node.measure(99)
    (alert,) = await node.ask("GET", "")
    async with writer_held(node):
        asking = await hang_up(node, "POST", f"/{alert['id']}/acknowledge", json={})
    await asyncio.wait([asking])
    (series,) = node.engine.rules[rule["id"]].series.values()
    assert series.acknowledged


async def test_a_channel_that_was_removed_is_told_no_more(alerts):
    node = await alerts()
    channel = await node.channel()
    rule = await node.rule(channel_ids=[channel["id"]])
    outbox = node.running.ctx("alerts").use(NotificationOutbox)
    outbox.failing[channel["id"]] = ChannelTrouble("Ops", "refused", node.clock.now())
    async with writer_held(node):
        asking = await hang_up(node, "DELETE", f"/channels/{channel['id']}?detach=true")
    await asyncio.wait([asking])
    assert node.engine.rules[rule["id"]].channel_ids == []
    assert channel["id"] not in outbox.failing


_RULE = {
    "name": "Busy",
    "metric": "system.cpu.usage_percent",
    "condition": "greater_than",
    "threshold": 90,
    "severity": "warning",
}
