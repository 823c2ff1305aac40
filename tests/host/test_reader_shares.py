"""Whoever has much to read leaves a thread of the database to everybody else."""

import asyncio
import threading

import pytest
from cloudos_sdk import Principal, Role
from cloudos_sdk.identity import Caller, act_as

from cloudos_host.data.database import Database, sqlite_url


@pytest.fixture
async def database(tmp_path):
    database = Database(sqlite_url(tmp_path / "a.db"), readers=3)
    yield database
    await database.close()


def person(name):
    return Caller(Principal("user", name, name, Role.VIEWER, name), "192.0.2.1")


def reading(database, who, fn):
    async def read():
        act_as(who)
        return await database.read(fn)

    return asyncio.create_task(read())


@pytest.mark.parametrize(
    ("greedy", "other"),
    [
        (person("eve"), person("bob")),
        (Caller(None, "192.0.2.1"), Caller(None, "192.0.2.2")),
        (Caller(None, "2001:db8::1"), person("bob")),
        (person("eve"), Caller(None)),
    ],
)
async def test_long_reads_of_one_leave_a_thread_to_others(database, greedy, other):
    held, begun = threading.Event(), []

    def long(session):
        begun.append(1)
        held.wait(20)
        return "long"

    long_ones = [reading(database, greedy, long) for _ in range(10)]
    try:
        async with asyncio.timeout(10):
            while len(begun) < 2:
                await asyncio.sleep(0.01)
            assert await reading(database, other, lambda s: "short") == "short"
        assert len(begun) == 2
    finally:
        held.set()
    assert await asyncio.gather(*long_ones) == ["long"] * 10


async def test_a_read_that_nobody_waits_for_still_counts_until_it_ends(database):
    held, begun = threading.Event(), []

    def long(session):
        begun.append(1)
        held.wait(20)

    try:
        for _ in range(2):
            for task in [reading(database, person("eve"), long) for _ in range(5)]:
                await asyncio.sleep(0.02)
                task.cancel()
        async with asyncio.timeout(10):
            assert await reading(database, person("bob"), lambda s: 1) == 1
        assert len(begun) == 2
    finally:
        held.set()
    async with asyncio.timeout(10):
        assert await reading(database, person("eve"), lambda s: 2) == 2
    assert len(begun) == 2, "what was given up before it began is not done"


async def test_what_a_read_raises_is_raised(database):
    def fail(session):
        raise LookupError("x")

    for _ in range(5):
        with pytest.raises(LookupError):
            await reading(database, person("eve"), fail)
