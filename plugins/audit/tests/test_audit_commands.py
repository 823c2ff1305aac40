"""The command line: verify and export."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from click.testing import CliRunner
from cloudos_audit.plugin import cloudos_commands


class Runs:
    """Runs a command's work on the loop of the test, as the host does on one of its own."""

    def __init__(self, ctx, loop):
        self._ctx, self._loop = ctx, loop

    def run(self, fn):
        return asyncio.run_coroutine_threadsafe(fn(self._ctx), self._loop).result(20)


@pytest.fixture
def call(audit):
    async def run(node, name, *arguments):
        command = next(command for command in cloudos_commands() if command.name == name)
        obj = Runs(node.running.ctx("audit"), asyncio.get_running_loop())
        return await asyncio.to_thread(CliRunner().invoke, command, arguments, obj=obj)

    return run


async def test_verify_says_how_many_entries_hold(audit, call):
    node = await audit()
    empty = await call(node, "verify")
    assert (empty.exit_code, empty.output) == (0, "The audit log verifies: 0 entries.\n")
    await node.make(*"abc")
    result = await call(node, "verify")
    assert (result.exit_code, result.output) == (0, "The audit log verifies: 3 entries, from 1 to 3.\n")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE audit_entry SET details = 'x' WHERE seq = 2", "Entry 2 was altered"),
        ("DELETE FROM audit_entry WHERE seq = 2", "Entry 2 is missing"),
        ("DELETE FROM audit_entry WHERE seq > 1", "The entries 2 to 3 are missing"),
        ("DELETE FROM audit_head", "The head of the log is missing"),
    ],
)
async def test_verify_exits_with_1_and_names_the_entry(audit, call, statement, words):
    node = await audit()
    await node.make(*"abc")
    node.tamper(statement)
    result = await call(node, "verify")
    assert result.exit_code == 1
    assert words in result.output


async def test_export_writes_json_lines_between_two_times(audit, call):
    node = await audit()
    for id in "abc":
        await node.make(id)
        await node.running.clock.advance(60)
    result = await call(node, "export", "--since", "2026-01-01T00:01:00Z", "--until", "2026-01-01T00:02:00Z")
    assert result.exit_code == 0
    assert [orjson.loads(line)["resource"] for line in result.stdout_bytes.splitlines()] == ["b"]
    assert len((await call(node, "export")).stdout_bytes.splitlines()) == 3


async def test_export_names_the_option_that_is_no_time(audit, call):
    node = await audit()
    result = await call(node, "export", "--since", "yesterday")
    assert result.exit_code == 2
    assert "--since" in result.output
