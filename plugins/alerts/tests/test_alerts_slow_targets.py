"""A far side that takes its time takes it from nobody else, and has no more of it than it is given."""

from __future__ import annotations

import asyncio
import os

import pytest
from cloudos_alerts.apprise_sender import Message
from cloudos_alerts.channel_types import TYPES
from cloudos_alerts.couriers import Couriers
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
async def couriers():
    """Return what sends, with a time that no test waits for."""
    couriers = Couriers(60)
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
    couriers = Couriers(2)
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
    couriers = Couriers(60)
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
    assert len(came) == 4
    await ends(tasks)


async def test_a_process_that_dies_is_followed_by_another(couriers, sink):
    await couriers.check(webhook(sink.url))
    couriers._courier._process.kill()
    await asyncio.sleep(0.1)
    assert (await couriers.deliver(webhook(sink.url), HELLO)).delivered
