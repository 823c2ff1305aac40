"""Who is told that a write is done can rely on it, also where the disk of the database is full."""

from __future__ import annotations

import asyncio
import threading

import pytest
from cloudos_sdk import DatabaseUnavailable
from sqlalchemy import event, text

from cloudos_host.config import HostSettings
from cloudos_host.data.database import Database, sqlite_url

ROW = text("INSERT INTO kept (what) VALUES (:what)")


def make_table(session):
    session.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY, what TEXT NOT NULL)"))


def row(what):
    return lambda session: session.execute(ROW, {"what": what})


async def together(db, *writes):
    """Write as one batch: the writer is held until all of them wait."""
    held, go = threading.Event(), threading.Event()

    def hold(session):
        held.set()
        go.wait(10)

    first = asyncio.ensure_future(db.write(hold))
    await asyncio.to_thread(held.wait, 10)
    jobs = [asyncio.ensure_future(db.write(fn)) for fn in writes]
    await asyncio.sleep(0)
    go.set()
    await first
    return await asyncio.gather(*jobs, return_exceptions=True)


async def kept(db):
    return await db.read(lambda s: [what for (what,) in s.execute(text("SELECT what FROM kept ORDER BY id"))])


def limited(tmp_path):
    """Return a database of which SQLite says SQLITE_FULL past some pages, as on a full disk."""
    db = Database(sqlite_url(tmp_path / "a.db"))

    @event.listens_for(db.write_engine, "connect")
    def limit(connection, record):
        connection.execute("PRAGMA max_page_count=8")

    return db


async def test_nobody_of_a_batch_is_told_done_where_the_disk_was_full_for_one(tmp_path):
    db, told = limited(tmp_path), []
    await db.write(make_table)

    def first(session):
        db.after_commit(session, lambda: told.append("first"))
        row("first")(session)

    results = await together(db, first, row("second"), row("x" * 100_000), row("behind"))
    assert [type(result) for result in results[:3]] == [DatabaseUnavailable] * 3
    assert {result.code for result in results[:3]} == {"database_full"}
    assert "free space" in str(results[0])
    assert told == []
    assert not isinstance(results[3], BaseException)  # it was run after the transaction that failed
    assert await kept(db) == ["behind"]
    await db.close()


async def test_a_writer_that_hides_the_error_hides_it_from_nobody_else(tmp_path):
    db = limited(tmp_path)
    await db.write(make_table)

    def hides(session):
        try:
            row("x" * 100_000)(session)
        except Exception:  # noqa: BLE001 - what a careless plugin does
            session.rollback()

    results = await together(db, row("first"), hides, row("behind"))
    assert isinstance(results[0], DatabaseUnavailable)
    assert isinstance(results[1], BaseException)
    assert await kept(db) == ["behind"]
    await db.close()


async def test_what_fails_by_itself_fails_alone(tmp_path):
    db = limited(tmp_path)
    await db.write(make_table)

    def wrong(session):
        row("wrong")(session)
        raise ValueError("wrong")

    results = await together(db, row("first"), wrong, row("last"))
    assert isinstance(results[1], ValueError)
    assert await kept(db) == ["first", "last"]
    await db.close()


async def test_a_disk_that_is_full_and_has_room_again(small_disk):
    disk = small_disk("512k")
    db = Database(sqlite_url(disk / "a.db"))
    await db.write(make_table)
    (disk / "films").write_bytes(b"x" * 100_000)
    answers = {}
    for round in range(40):
        names = [f"{round}.{n} {'x' * 3000}" for n in range(8)]
        answers |= dict(zip(names, await together(db, *map(row, names)), strict=True))
        if any(isinstance(answer, BaseException) for answer in answers.values()):
            break
    refused = [answer for answer in answers.values() if isinstance(answer, BaseException)]
    assert refused
    assert {answer.code for answer in refused} == {"database_full"}
    acknowledged = [name for name, answer in answers.items() if not isinstance(answer, BaseException)]
    assert await kept(db) == acknowledged
    (disk / "films").unlink()
    await db.write(row("room again"))
    assert await kept(db) == [*acknowledged, "room again"]
    await db.close()


@pytest.mark.parametrize(("sync", "level"), [("full", 2), ("normal", 1)])
async def test_commits_are_on_the_disk_unless_speed_is_asked_for(tmp_path, sync, level):
    db = Database(sqlite_url(tmp_path / "a.db"), sync=sync)
    assert await db.write(lambda s: s.execute(text("PRAGMA synchronous")).scalar()) == level
    await db.close()
    assert HostSettings().database_sync == "full"
