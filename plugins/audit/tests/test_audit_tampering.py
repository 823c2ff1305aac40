"""What someone with the database in hand does to the log is found, and the database itself refuses most of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from cloudos_audit.plugin import cloudos_health


async def test_an_untouched_log_verifies(audit):
    node = await audit()
    assert await node.verify() == {"valid": True, "entries": 0, "first": None, "last": None, "problem": None}
    await node.make(*"abcde")
    assert await node.verify() == {"valid": True, "entries": 5, "first": 1, "last": 5, "problem": None}


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE audit_entry SET details = 'nothing' WHERE seq = 3"], ("altered", 3)),
        (["UPDATE audit_entry SET address = '10.0.0.1' WHERE seq = 3"], ("altered", 3)),
        (["UPDATE audit_entry SET hash = prev_hash WHERE seq = 3"], ("altered", 3)),
        (["UPDATE audit_entry SET prev_hash = hash WHERE seq = 3"], ("altered", 3)),
        (["DELETE FROM audit_entry WHERE seq = 3"], ("removed", 3)),
        (["DELETE FROM audit_entry WHERE seq IN (1, 2)"], ("removed", 1)),
        (["DELETE FROM audit_entry WHERE seq > 3"], ("removed", 4)),
        (["DELETE FROM audit_entry"], ("removed", 1)),
        (
            [
                "UPDATE audit_entry SET seq = 99 WHERE seq = 2",
                "UPDATE audit_entry SET seq = 2 WHERE seq = 4",
                "UPDATE audit_entry SET seq = 4 WHERE seq = 99",
            ],
            ("reordered", 2),
        ),
        (["DELETE FROM audit_head"], ("head", 5)),
        (["UPDATE audit_head SET seq = 3", "DELETE FROM audit_entry WHERE seq > 3"], ("head", 3)),
        (["DELETE FROM audit_entry", "DELETE FROM audit_head"], ("head", 0)),
        (["UPDATE audit_entry SET seq = 0 WHERE seq = 1"], ("added", 0)),
    ],
)
async def test_what_was_altered_removed_or_reordered_is_found_and_named(audit, statements, problem):
    node = await audit()
    await node.make(*"abcde")
    node.tamper(*statements)
    assert await node.problem() == problem


async def test_the_log_goes_on_after_it_was_tampered_with_and_does_not_cover_it(audit):
    node = await audit()
    await node.make(*"abcde")
    node.tamper("DELETE FROM audit_entry WHERE seq > 3")
    await node.make("f")
    assert await node.problem() == ("removed", 4)


@pytest.mark.parametrize("statement", ["DELETE FROM audit_head", "UPDATE audit_head SET seq = 3"])
async def test_a_head_that_was_removed_or_altered_stays_known_when_it_is_made_anew(audit, statement):
    node = await audit()
    await node.make(*"abcde")
    node.tamper("DELETE FROM audit_entry WHERE seq > 3", statement)
    await node.restart()
    await node.make("f")
    assert await node.problem() == ("head", 4)
    await node.make("g")
    assert await node.problem() == ("head", 4)


async def test_an_entry_added_beyond_the_head_is_found_even_with_the_right_hash(audit):
    node = await audit()
    await node.make("a", "b")
    columns = "event_id, time, action, actor_kind, actor_id, actor_name, resource, details, data, prev_hash, hash"
    copied = columns.replace("event_id", "'evt_forged'").replace("prev_hash, hash", "hash, hash")
    node.tamper(f"INSERT INTO audit_entry (seq, {columns}) SELECT 3, {copied} FROM audit_entry WHERE seq = 2")
    assert await node.problem() == ("added", 3)
    await node.make("c")
    assert await node.problem() == ("altered", 3)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET details = 'nothing' WHERE seq = 1",
        "DELETE FROM audit_entry WHERE seq = 1",
        "DELETE FROM audit_entry",
        "DELETE FROM audit_head",
        "UPDATE audit_checkpoint SET seq = 100",
        "DELETE FROM audit_checkpoint",
    ],
)
async def test_the_database_refuses_to_change_what_was_recorded(audit, statement):
    node = await audit(retention_days=1)
    await node.make("a")
    node.later(2)
    await node.make("b")
    await node.keep()
    with pytest.raises(sa.exc.DatabaseError, match="audit"):
        node.tamper(statement.replace("seq = 1", "seq = 2"), triggers=True)
    assert (await node.verify())["valid"]


async def test_the_database_refuses_to_replace_or_to_truncate(audit):
    node = await audit()
    await node.make("a", "b")
    if node.running.ctx("audit").db.dialect == "sqlite":
        columns = (await node.rows("SELECT group_concat(name) FROM pragma_table_info('audit_entry')"))[0][0]
        other = columns.replace("details", "'nothing'")
        refused = [f"REPLACE INTO audit_entry ({columns}) SELECT {other} FROM audit_entry WHERE seq = 1"]
    else:
        refused = [f"TRUNCATE {table}" for table in ("audit_entry", "audit_head", "audit_checkpoint")]
    for statement in refused:
        with pytest.raises(sa.exc.DatabaseError, match="audit"):
            node.tamper(statement, triggers=True)
    assert (await node.verify())["entries"] == 2


async def test_a_problem_is_told_once_and_makes_the_plugin_unwell(audit):
    node = await audit()
    await node.make(*"abcde")
    node.tamper("UPDATE audit_entry SET details = 'nothing' WHERE seq = 3")
    for _ in range(2):
        await node.keep()
    await node.restart()
    await node.keep()
    told = await node.entries("?action=audit.tampered")
    assert [entry["details"] for entry in told] == ["Entry 3 was altered after it was written."]
    health = await cloudos_health(node.running.ctx("audit"))
    assert not health.ok and "Entry 3" in health.detail


async def test_an_entry_that_no_longer_is_text_is_still_listed_and_found(audit):
    node = await audit()
    if node.running.ctx("audit").db.dialect != "sqlite":
        return  # PostgreSQL's types do not let it come to this
    await node.make(*"abc")
    node.tamper("UPDATE audit_entry SET details = CAST(x'ff41' AS TEXT), time = 'never' WHERE seq = 2")
    assert await node.problem() == ("altered", 2)
    assert {"a", "b", "c"} <= {entry["resource"] for entry in await node.entries()}
    assert len((await (await node.client.get("/api/audit/export?resource=b")).get_data()).splitlines()) == 1


async def test_the_models_equal_the_migrations(audit):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from cloudos_audit.models import Base

    def mine(name, type_, parents):
        return type_ != "table" or (name.startswith("audit_") and not name.endswith("_alembic_version"))

    node = await audit()
    with node.running.host.db.write_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": mine, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
