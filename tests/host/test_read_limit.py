"""A read of the database ends after its time, with who asked for it, and with the host."""

import asyncio

import pytest
from cloudos_sdk import Principal, Role, Unavailable
from cloudos_sdk.identity import Caller, act_as
from sqlalchemy import text

LONG = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


@pytest.fixture
async def db(cloudos):
    host = await cloudos(database_read_limit=0.3, database_readers=2)
    return host.host.db


def without_end(db):
    return db.read(lambda session: session.execute(text(LONG[db.dialect])).scalar())


def as_somebody(name="usr_1"):
    act_as(Caller(Principal("user", name, name, Role.VIEWER, name)))


async def test_a_read_that_takes_too_long_is_ended_and_says_so(db):
    as_somebody()
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable) as refused:
            await without_end(db)
    assert (refused.value.code, refused.value.status) == ("query_too_long", 503)
    assert await db.read(lambda session: session.execute(text("SELECT 1")).scalar()) == 1, "and the reader is free"


async def test_a_read_ends_with_who_asked_for_it(cloudos):
    host = await cloudos(database_read_limit=60.0, database_readers=1)
    db = host.host.db
    if db.dialect != "sqlite":
        return  # a server ends it after its time
    as_somebody()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await without_end(db)
    async with asyncio.timeout(5):
        assert await db.read(lambda session: session.execute(text("SELECT 1")).scalar()) == 1


async def test_the_host_stops_beside_a_read_without_end(cloudos):
    host = await cloudos(database_read_limit=2.0)
    reading = asyncio.create_task(without_end(host.host.db))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(10):
        await host.stop()
    with pytest.raises((Unavailable, asyncio.CancelledError)):
        await reading
