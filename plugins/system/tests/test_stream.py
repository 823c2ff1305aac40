"""The readings as server-sent events."""

import asyncio
import json

from measured import Lab


def listen(node, query="", bearer="viewer"):
    headers = {"Authorization": f"Bearer {bearer}"}
    path = f"/api/system/metrics/stream{query}"
    return node.host.host.app.test_client().request(path, headers=headers)


async def message(stream):
    """Return the data of the next message."""
    async with asyncio.timeout(5):
        while True:
            for line in (await stream.receive()).splitlines():
                if line.startswith(b"data: "):
                    return json.loads(line[6:])


async def test_each_reading_is_a_message_and_the_newest_comes_at_once(system):
    lab = Lab(a=1)
    node = await system(lab.plugin)
    await node.first_tick()
    async with listen(node) as stream:
        await stream.send_complete()
        first = await message(stream)
        assert first["timestamp"] == "2026-01-01T00:00:00Z"
        lab.set(a=2)
        await node.tick()
        second = await message(stream)
        await stream.disconnect()
    assert second["timestamp"] == "2026-01-01T00:00:10Z"
    found = {(one["metric"], *one["labels"].values()): one["value"] for one in second["metrics"]}
    assert found["lab.level", "a"] == 2 and ("system.memory.usage_percent",) in found


async def test_a_stream_may_be_narrowed_to_some_metrics(system):
    node = await system(Lab(a=1, b=2).plugin)
    await node.first_tick()
    async with listen(node, "?metric=lab.*&metric=system.load.1m") as stream:
        await stream.send_complete()
        names = {one["metric"] for one in (await message(stream))["metrics"]}
        await stream.disconnect()
    assert names == {"lab.level", "system.load.1m"}
    assert (await node.get("/api/system/metrics/stream?metric=lab.levels", 400))["nearest"][0] == "lab.level"


async def test_a_stream_ends_with_the_sign_in_that_it_was_opened_with(cloudos):
    from conftest import Node

    settings = {"auth": {"bcrypt_cost": 4}}
    node = Node(await cloudos("system", "auth", settings=settings))
    who = {"username": "root", "password": "correct horse battery"}
    await node.host.anonymous.post("/api/auth/setup", json=who)
    login = await (await node.host.anonymous.post("/api/auth/login", json=who)).get_json()
    await node.first_tick()
    async with asyncio.timeout(5), listen(node, bearer=login["access_token"]) as stream:
        await stream.send_complete()
        await message(stream)
        await node.tick()
        await message(stream)
        head = {"Authorization": f"Bearer {login['access_token']}"}
        assert (await node.host.anonymous.post("/api/auth/logout", headers=head)).status_code == 204
        await node.tick()  # nobody disconnects: the answer must end by itself
    assert b"00:00:20Z" not in stream.response_data, "what comes after the sign-out is not told"


async def test_a_stream_does_not_keep_the_node_from_stopping(system):
    node = await system()
    await node.first_tick()
    async with listen(node) as stream:
        await stream.send_complete()
        await message(stream)
        async with asyncio.timeout(3):
            await node.host.stop()
