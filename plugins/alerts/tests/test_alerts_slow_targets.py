"""A far side that takes its time takes it from nobody else, and has no more of it than it is given."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import pytest
from cloudos_alerts.channel_types import TYPES
from cloudos_alerts.notify import apprise_adapter
from cloudos_alerts.notify.apprise_adapter import Message
from cloudos_alerts.notify.outbox import NotificationOutbox
from cloudos_alerts.notify.sender_processes import _PLACES, SenderProcesses
from cloudos_sdk import TooManyRequests

HELLO = Message("Critical: Disk", "It is full.", "critical")


def webhook(url):
    return TYPES["webhook"].model_validate({"url": url})


@pytest.fixture
async def drips():
    """Serve a far side that begins an answer and drips it, byte by byte, within every limit between two reads."""
    came = []

    async def answer(reader, writer):
        came.append(1)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass
        finally:
            writer.close()

    servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(10)]
    yield [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/" for server in servers], came
    for server in servers:
        server.close()


@pytest.fixture
def silent():
    """Return the URLs of far sides that accept and never answer."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(36)]
    yield [f"http://127.0.0.1:{one.getsockname()[1]}/" for one in listening]
    for one in listening:
        one.close()


@pytest.fixture
async def couriers():
    """Return what sends, with a time that no test waits for."""
    couriers = SenderProcesses(60)
    yield couriers
    await couriers.close()


async def ends(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_far_side_that_drips_has_its_time_and_no_more(alerts, drips):
    node = await alerts(send_seconds=2)
    (url, *_), _ = drips
    channel = await node.channel(type="webhook", config={"url": url})
    async with asyncio.timeout(15):
        trial = await node.ask("POST", f"/channels/{channel['id']}/test", json={})
    assert not trial["delivered"]
    assert "longer than 2 s" in trial["reason"]


async def test_what_ran_out_of_time_is_ended_with_its_process(drips):
    (url, *_), _ = drips
    couriers = SenderProcesses(2)
    await couriers.check(webhook(url))
    first = couriers._courier._process.pid
    delivery = await couriers.deliver(webhook(url), HELLO)
    assert delivery.slow and not delivery.delivered
    async with asyncio.timeout(5):
        while alive(first):
            await asyncio.sleep(0.02)
    await couriers.check(webhook(url))
    assert couriers._courier._process.pid != first
    await couriers.close()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_who_sends_beside_one_that_runs_out_of_time_is_not_ended_with_it(drips, sink):
    (url, *_), came = drips
    couriers = SenderProcesses(60)
    sink.answer = lambda request: (200, b"ok")
    late = asyncio.create_task(couriers.deliver(webhook(url), HELLO))
    async with asyncio.timeout(10):
        while not came:
            await asyncio.sleep(0.02)
    other = asyncio.create_task(couriers.deliver(webhook(sink.url), HELLO))
    await asyncio.sleep(0)
    late.cancel()
    assert (await other).delivered
    await asyncio.gather(late, return_exceptions=True)
    await couriers.close()


async def test_slow_channels_leave_places_for_others(couriers, drips, sink):
    urls, came = drips
    tasks = [asyncio.create_task(couriers.deliver(webhook(url), HELLO, slow=True)) for url in urls * 2]
    async with asyncio.timeout(10):
        while len(came) < 3:
            await asyncio.sleep(0.02)
        assert (await couriers.deliver(webhook(sink.url), HELLO)).delivered
    assert len(came) == 3, "the others of them wait for each other"
    await ends(tasks)


async def test_one_target_leaves_places_for_others_however_many_channels_it_has(couriers, drips, sink):
    (url, *_), came = drips
    tasks = [asyncio.create_task(couriers.deliver(webhook(f"{url}{n}"), HELLO)) for n in range(30)]
    async with asyncio.timeout(10):
        while len(came) < 2:
            await asyncio.sleep(0.02)
        assert (await couriers.deliver(webhook(sink.url), HELLO)).delivered
    assert len(came) == 2
    await ends(tasks)


async def test_tries_by_hand_leave_places_for_what_is_to_be_told(couriers, drips, sink):
    urls, came = drips
    tasks = [asyncio.create_task(couriers.trial(webhook(url), HELLO)) for url in (urls * 2)[:16]]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await couriers.trial(webhook(urls[0]), HELLO)
    async with asyncio.timeout(10):
        while len(came) < 4:
            await asyncio.sleep(0.02)
        assert (await couriers.deliver(webhook(sink.url), HELLO)).delivered
    await ends(tasks)


async def test_tries_by_hand_of_one_person_leave_places_for_another(couriers, silent):
    tasks = [asyncio.create_task(couriers.trial(webhook(url), HELLO, by="usr_1")) for url in silent[:16]]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await couriers.trial(webhook(silent[20]), HELLO, by="usr_1")
    other = asyncio.create_task(couriers.trial(webhook(silent[20]), HELLO, by="usr_2"))
    await asyncio.sleep(0.1)
    assert not other.done()
    await ends([*tasks, other])


async def test_tries_of_what_never_answers_do_not_delay_one_of_what_does(couriers, silent, sink):
    await couriers.check(webhook(sink.url))
    tasks = [asyncio.create_task(couriers.trial(webhook(url), HELLO)) for url in silent[:8]]
    await asyncio.sleep(0)
    assert (await couriers.trial(webhook(sink.url), HELLO)).delivered
    assert not any(task.done() for task in tasks)
    await ends(tasks)


async def test_channels_that_never_answer_do_not_delay_others_however_many(couriers, silent, sink, other_sink):
    await couriers.check(webhook(sink.url))
    tasks = [asyncio.create_task(couriers.deliver(webhook(url), HELLO)) for url in silent]
    await asyncio.sleep(0)
    new = asyncio.create_task(couriers.deliver(webhook(other_sink.url), HELLO))
    assert (await couriers.deliver(webhook(sink.url), HELLO, proven=True)).delivered
    assert (await new).delivered
    assert not any(task.done() for task in tasks)
    await ends(tasks)


async def test_what_went_on_beside_is_counted_until_it_ends(couriers, silent):
    tasks = [asyncio.create_task(couriers.deliver(webhook(url), HELLO)) for url in silent[:8]]
    async with asyncio.timeout(5):
        while couriers._lingering < 8:
            await asyncio.sleep(0.02)
    assert all(not places.locked() for places in couriers._places.values())
    await ends(tasks)
    assert couriers._lingering == 0
    assert {name: places._value for name, places in couriers._places.items()} == _PLACES


def test_what_accepts_and_never_answers_is_slow_and_what_refuses_at_once_is_not(silent, monkeypatch):
    monkeypatch.setattr(apprise_adapter, "_TIMEOUTS", {"cto": 3.0, "rto": 3.2})
    delivery = apprise_adapter.send(webhook(silent[0]), HELLO)
    assert delivery.slow and not delivery.delivered
    assert not apprise_adapter.send(webhook("http://127.0.0.1:9"), HELLO).slow


async def test_a_channel_that_never_answers_is_served_after_others_until_changed(alerts, silent, sink):
    node = await alerts()
    outbox = node.running.ctx("alerts").use(NotificationOutbox)
    made = await node.channel(type="apprise", config={"url": silent[0].replace("http:", "json:") + "?rto=3.5"})
    assert not (await node.ask("POST", f"/channels/{made['id']}/test", json={}))["delivered"]
    assert outbox._slow == {made["id"]}
    await node.ask("PUT", f"/channels/{made['id']}", json={"config": {"url": f"json://{sink.host}"}})
    assert outbox._slow == set()


async def test_a_process_that_dies_is_followed_by_another(couriers, sink):
    await couriers.check(webhook(sink.url))
    couriers._courier._process.kill()
    await asyncio.sleep(0.1)
    assert (await couriers.deliver(webhook(sink.url), HELLO)).delivered


async def test_a_new_channel_is_told_beside_many_that_never_answer(alerts, silent, sink):
    node = await alerts()
    dead = [await node.channel(type="webhook", config={"url": url}) for url in silent[:15]]
    good = await node.channel(type="webhook", config={"url": sink.url})
    for channel in (*dead, good):
        await node.rule(channel_id=channel["id"])
    begun = time.monotonic()
    await node.measure(95)
    await node.until(lambda: len(sink.received) == 1)
    assert time.monotonic() - begun < 30, "one after the other they would take minutes"
