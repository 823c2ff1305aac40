"""Logs and statistics."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import UTC, datetime, timedelta

from app_node import make_template


async def chatty(node):
    node.offer(make_template("chatty", {"name": "main", "image": node.engine.image("chatty:1.0")}))
    return await node.install("chatty", "chatty")


async def lines(node, app, query=""):
    answer = await node.client.get(f"/api/apps/{app['id']}/logs?{query}")
    body = await answer.get_json()
    assert answer.status_code == 200, body
    return [line["message"] for line in body["lines"]]


async def test_the_newest_lines_are_shown_oldest_first_as_far_as_asked(node):
    app = await chatty(node)
    await asyncio.sleep(1)
    found = await lines(node, app, "lines=3&follow=false")
    assert len(found) == 3
    first = int(found[0].split()[1])
    assert found == [f"line {number}" for number in range(first, first + 3)]
    assert (await lines(node, app))[0] == "line 0"
    assert await lines(node, app, "lines=0") == []
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await lines(node, app, f"since={later}") == []
    assert "line 0" in await lines(node, app, f"since={int(time.time()) - 60}")
    for query in ("lines=-1", "lines=x", "lines=10001", "since=tomorrow", "follow=maybe", "tail=5"):
        answer = await node.client.get(f"/api/apps/{app['id']}/logs?{query}")
        assert (answer.status_code, (await answer.get_json())["error"]) == (400, "invalid_request"), query


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("docker-logs")]


async def test_following_streams_new_lines_and_stops_when_the_client_goes(node):
    app = await chatty(node)
    headers = {"Authorization": "Bearer viewer"}
    path = f"/api/apps/{app['id']}/logs?follow=true&lines=1"
    async with node.host.host.app.test_client().request(path, headers=headers) as stream:
        await stream.send_complete()
        found = []
        async with asyncio.timeout(5):
            while len(found) < 4:
                found += [json.loads(line) for line in (await stream.receive()).splitlines()]
        assert stream.headers["Content-Type"].startswith("application/x-ndjson")
        assert reading_threads()
        await stream.disconnect()
    first = int(found[0]["message"].split()[1])
    assert [line["message"] for line in found[:4]] == [f"line {first + number}" for number in range(4)]
    assert {line["service"] for line in found} == {"main"}
    await gone()


async def gone():
    end = time.monotonic() + 3
    while reading_threads():
        assert time.monotonic() < end, "a thread still reads"
        await asyncio.sleep(0.05)


async def test_following_ends_with_the_app_and_with_the_host(node):
    app = await chatty(node)
    headers = {"Authorization": "Bearer viewer"}
    for end in (node.client.post(f"/api/apps/{app['id']}/stop"), node.host.stop()):
        path = f"/api/apps/{app['id']}/logs?follow=true"
        async with node.host.host.app.test_client().request(path, headers=headers) as stream:
            await stream.send_complete()
            assert b"line" in await stream.receive()
            await end
            async with asyncio.timeout(5):
                rest = await stream.as_response()
            assert rest.status_code == 200
        await gone()
        if node.host.host is not None:
            await node.client.post(f"/api/apps/{app['id']}/start")


async def test_an_app_of_several_services_names_them(node):
    services = [{"name": name, "image": node.engine.image("web:1.0")} for name in ("front", "back")]
    node.offer(make_template("pair", *services))
    app = await node.install("pair", "pair")
    body = await (await node.client.get(f"/api/apps/{app['id']}/logs")).get_json()
    assert {line["service"] for line in body["lines"]} == {"front", "back"}
    assert all(line["timestamp"].endswith("Z") for line in body["lines"])
    body = await (await node.client.get(f"/api/apps/{app['id']}/logs?service=back")).get_json()
    assert {line["service"] for line in body["lines"]} == {"back"}
    answer = await node.client.get(f"/api/apps/{app['id']}/logs?service=side")
    assert (answer.status_code, (await answer.get_json())["error"]) == (404, "service_not_found")


async def test_statistics_are_those_of_the_reference(node):
    app = await node.install()
    name = node.containers(app["id"])[0]
    node.engine.cli("exec", "-d", name, "sh", "-c", "while true; do :; done")
    node.engine.cli("exec", name, "dd", "if=/dev/zero", "of=/data/file", "bs=1M", "count=5")
    stats = await (await node.client.get(f"/api/apps/{app['id']}/stats")).get_json()
    assert list(stats) == [
        "app_id",
        "cpu_percent",
        "memory_usage_mb",
        "memory_limit_mb",
        "network_rx_bytes",
        "network_tx_bytes",
        "disk_usage_mb",
    ]
    assert stats["app_id"] == app["id"]
    assert 10 < stats["cpu_percent"] < 75  # it may have half a core
    assert 0 < stats["memory_usage_mb"] <= 64 and stats["memory_limit_mb"] == 64
    assert stats["network_rx_bytes"] > 0
    assert 5 <= stats["disk_usage_mb"] < 50
    await node.client.post(f"/api/apps/{app['id']}/stop")
    stopped = await (await node.client.get(f"/api/apps/{app['id']}/stats")).get_json()
    assert (stopped["cpu_percent"], stopped["memory_usage_mb"]) == (0, 0)


async def test_the_list_is_answered_from_the_rows_alone(node, monkeypatch):
    from cloudos_apps.engine.client import DockerEngine

    app = await node.install()

    async def refuse(self, *args):
        raise AssertionError("the engine was asked")

    with monkeypatch.context() as patch:
        patch.setattr(DockerEngine, "call", refuse)
        listed = await (await node.client.get("/api/apps")).get_json()
        assert (await node.client.get(f"/api/apps/{app['id']}")).status_code == 200
    assert [found["status"] for found in listed] == ["running"]


async def test_a_line_of_24_mb_and_who_follows_it_keep_nobody_waiting(node):
    long = "head -c 24000000 /dev/zero | tr '\\0' x; echo; printf 'a\\rb\\n'; while true; do sleep 1; done"
    node.offer(
        make_template("long", {"name": "main", "image": node.engine.image("web:1.0"), "command": ["sh", "-c", long]})
    )
    app = await node.install("long", "long")
    async with asyncio.timeout(20):  # the engine loses lines for who follows while it rotates a log
        while await lines(node, app, "lines=1") != [r"a\x0db"]:
            await asyncio.sleep(0.1)
    slowest, done = 0.0, asyncio.Event()

    async def watch():
        nonlocal slowest
        while not done.is_set():
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            slowest = max(slowest, time.monotonic() - begun)

    watching = asyncio.create_task(watch())
    path = f"/api/apps/{app['id']}/logs?follow=true&lines=5000"
    async with node.host.host.app.test_client().request(path, headers={"Authorization": "Bearer viewer"}) as stream:
        await stream.send_complete()
        found = []
        async with asyncio.timeout(30):
            while len(found) < 2:
                found += [json.loads(line)["message"] for line in (await stream.receive()).splitlines()]
        await stream.disconnect()
    plain = await lines(node, app, "lines=5000")
    done.set()
    await watching
    assert slowest < 0.5
    for long_line, short in (found, plain):
        assert short == r"a\x0db"
        assert long_line.startswith("xxx") and len(long_line) < 20_000
        assert "bytes are left out" in long_line
        left_out = int(long_line.split("(")[1].split()[0])
        assert left_out + long_line.count("x") == 24_000_000
    await gone()


async def test_one_viewer_does_not_take_all_threads_and_reading_logs_stops_no_app(node, monkeypatch):
    from cloudos_apps.engine import client as engine
    from cloudos_apps.monitoring import logs

    app = await chatty(node)
    monkeypatch.setattr(logs, "_MOST_FOLLOWED", 2)
    client, path = node.host.host.app.test_client(), f"/api/apps/{app['id']}/logs?follow=true"
    async with (
        client.request(path, headers={"Authorization": "Bearer viewer"}) as one,
        client.request(path, headers={"Authorization": "Bearer viewer"}) as two,
    ):
        for stream in (one, two):
            await stream.send_complete()
            await stream.receive()
        answer = await node.viewer.get(path)
        assert (answer.status_code, (await answer.get_json())["error"]) == (429, "too_many_streams")
        async with client.request(path, headers={"Authorization": "Bearer operator"}) as other:
            await other.send_complete()
            assert b"line" in await other.receive()
            await other.disconnect()
        await one.disconnect()
        await two.disconnect()
    held = threading.Event()
    read = engine.newest_lines

    def slow(*args):
        held.wait(10)
        return read(*args)

    monkeypatch.setattr(engine, "newest_lines", slow)
    reading = [asyncio.create_task(lines(node, app)) for _ in range(8)]
    try:
        async with asyncio.timeout(8):
            assert (await node.operator.post(f"/api/apps/{app['id']}/stop")).status_code == 200
        assert not any(task.done() for task in reading)
    finally:
        held.set()
    assert all(await asyncio.gather(*reading))
    await gone()
