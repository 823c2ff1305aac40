"""Retention removes what is old and leaves a chain that verifies."""

from __future__ import annotations

import asyncio

import pytest
from cloudos_audit.settings import AuditSettings
from pydantic import ValidationError


async def test_old_entries_go_and_the_rest_verifies(audit):
    node = await audit(retention_days=30)
    await node.make(*"abc")
    node.later(20)
    await node.make(*"de")
    node.later(15)
    await node.keep()
    assert [seq for seq, _ in await node.recorded()] == [4, 5, 6]
    assert await node.verify() == {"valid": True, "entries": 3, "first": 4, "last": 6, "problem": None}
    pruned, *_ = await node.entries()
    assert (pruned["action"], pruned["actor"]["kind"]) == ("audit.pruned", "system")
    assert pruned["details"] == "Removed 3 audit entries older than 30 days; entry 4 is the first kept"


async def test_the_daily_job_does_it_by_itself(audit):
    node = await audit(retention_days=1)
    await node.make("a")
    for _ in range(3):
        await node.running.clock.advance(86400)
    async with asyncio.timeout(10):
        while not await node.rows("SELECT id FROM audit_checkpoint"):
            await node.running.clock.advance(3600)
    assert "a" not in [entry["resource"] for entry in await node.entries()]


async def test_it_verifies_after_many_runs_restarts_and_an_emptied_log(audit):
    node = await audit(retention_days=1)
    for _ in range(3):
        await node.make(*"ab")
        node.later(2)
        await node.keep()
        assert (await node.verify())["valid"]
        await node.restart()
    await node.make("c")
    outcome = await node.verify()
    assert outcome["valid"] and outcome["entries"] == 2
    assert len(await node.rows("SELECT id FROM audit_checkpoint")) == 3


async def test_a_long_backlog_goes_in_steps(audit, monkeypatch):
    monkeypatch.setattr("cloudos_audit.retention._STEP", 2)
    node = await audit(retention_days=1)
    await node.make(*"abcde")
    node.later(2)
    await node.keep()
    assert len(await node.entries("?action=audit.pruned")) == 3
    assert (await node.verify())["first"] == 6


async def test_nothing_due_records_nothing(audit):
    node = await audit(retention_days=30)
    await node.make("a")
    await node.keep()
    assert await node.rows("SELECT id FROM audit_checkpoint") == []
    assert len(await node.recorded()) == 1


async def test_without_a_limit_entries_stay_for_ever(audit):
    node = await audit(retention_days=0)
    await node.make("a")
    node.later(10_000)
    await node.keep()
    assert len(await node.recorded()) == 1


def test_a_year_is_the_default_and_zero_or_none_is_for_ever():
    assert AuditSettings().retention_days == 365
    assert AuditSettings(retention_days=None).retention_days is AuditSettings(retention_days=0).retention_days is None
    with pytest.raises(ValidationError):
        AuditSettings(retention_days=-1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_checkpoint SET seq = 5 WHERE id = 2",
        "UPDATE audit_checkpoint SET entry_hash = mac WHERE id = 2",
        "UPDATE audit_checkpoint SET removed = 1 WHERE id = 1",
        "UPDATE audit_checkpoint SET time = '2020-01-01 00:00:00.000000' WHERE id = 1",
        "DELETE FROM audit_checkpoint WHERE id = 1",
        "INSERT INTO audit_checkpoint SELECT 3, time, 6, entry_hash, 1, mac, mac FROM audit_checkpoint WHERE id = 2",
    ],
)
async def test_a_checkpoint_that_was_edited_removed_or_added_is_found(audit, statement):
    node = await pruned_twice(audit)
    node.tamper(statement)
    assert (await node.problem())[0] == "checkpoint"


async def test_the_newest_checkpoint_cannot_be_removed_with_the_entries_that_it_stands_for(audit):
    node = await pruned_twice(audit)
    node.tamper("DELETE FROM audit_checkpoint WHERE id = 2")
    assert (await node.problem())[0] == "removed"


async def test_a_retention_that_somebody_else_makes_up_is_found(audit):
    node = await pruned_twice(audit)
    first = (await node.verify())["first"]
    node.tamper(
        "INSERT INTO audit_checkpoint"
        f" SELECT 3, time, {first + 1}, entry_hash, 1, mac, mac FROM audit_checkpoint WHERE id = 2",
        f"DELETE FROM audit_entry WHERE seq = {first}",
        triggers=True,
    )
    assert await node.problem() == ("checkpoint", 3)


async def test_a_verification_begins_again_where_retention_runs_meanwhile(audit, monkeypatch):
    from cloudos_audit.retention import AuditRetention
    from cloudos_audit.tamper_monitor import TamperMonitor

    monkeypatch.setattr("cloudos_audit.verification._PAGE", 2)
    node = await audit(retention_days=1)
    await node.make(*"abcde")
    node.later(2)
    await node.make("f")
    ctx = node.running.ctx("audit")
    verifier = ctx.use(TamperMonitor)._verifier
    real, pages = verifier._page, []

    def page(session, walk):
        pages.append(walk.reached)
        return real(session, walk)

    async def walk(begin=verifier._walk):
        if not pages:
            started = await ctx.db.read(verifier._begin)
            await ctx.use(AuditRetention).prune()
            while not await ctx.db.read(lambda session: page(session, started)):
                pass
            assert started.problem is not None
            return started
        return await begin()

    monkeypatch.setattr(verifier, "_walk", walk)
    outcome = await verifier.verify()
    assert outcome.valid and outcome.first == 6


async def pruned_twice(audit):
    node = await audit(retention_days=1)
    for _ in range(2):
        await node.make(*"ab")
        node.later(2)
        await node.keep()
    await node.make(*"cd")
    assert (await node.verify())["valid"]
    return node
