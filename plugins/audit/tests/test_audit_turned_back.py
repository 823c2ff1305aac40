"""A log that was turned back to an older state of itself is found by what lies outside of the database."""

from __future__ import annotations

import asyncio
import shutil
import socket

import pytest
from cloudos_audit.recorder import Recorder
from cloudos_audit.seal_event import emit_seal


def put_back(node, last, head):
    """Cut the log behind an entry, and put the head of that time back, seal and all."""
    seq, hash, mac = head
    statement = "UPDATE audit_head SET seq = :seq, hash = :hash, mac = :mac"
    node.tamper(f"DELETE FROM audit_entry WHERE seq > {last}", statement, seq=seq, hash=hash, mac=mac)


async def head(node):
    ((seq, hash, mac),) = await node.rows("SELECT seq, hash, mac FROM audit_head")
    return seq, hash, mac


def file_of(node):
    return node.running.ctx("audit").data_dir / "log.begun"


async def stopped(node):
    """Stop the host once its reader has noted how far it is, so that nothing is told twice; return the file."""
    path = file_of(node)
    newest = (await node.running.event_log())[-1].seq
    async with asyncio.timeout(5):
        while await node.rows("SELECT seq FROM host_event_cursor WHERE reader = 'audit:log'") != [(newest,)]:
            await asyncio.sleep(0.01)
    await node.running.stop()
    return path


async def written(node, number):
    """Return the file once it says this number: it is written after the commit."""
    async with asyncio.timeout(5):
        while f'"number":{number},'.encode() not in (content := file_of(node).read_bytes()):
            await asyncio.sleep(0.01)
    return content


async def sealed(node):
    """Return what an outside copy has: number and hash of the newest `audit.sealed`."""
    await emit_seal(node.running.ctx("audit"))
    await node.settled()
    told = [event for event in await node.running.event_log() if event.type == "audit.sealed"]
    return told[-1].data["number"], told[-1].data["hash"]


async def asked(node, number, hash, status=200):
    response = await node.client.get(f"/api/audit/verify?number={number}&hash={hash}")
    assert response.status_code == status, await response.get_data()
    return await response.get_json()


async def test_an_end_that_was_cut_with_its_older_head_put_back_is_found(audit):
    node = await audit()
    await node.make(*"abc")
    older = await head(node)
    await node.make(*"de")
    await written(node, 5)
    put_back(node, 3, older)
    assert await node.problem() == ("removed", 5)
    await node.restart()
    assert await node.problem() == ("removed", 5)


async def test_a_log_that_went_on_after_it_was_turned_back_covers_nothing(audit):
    node = await audit()
    await node.make(*"abc")
    older = await head(node)
    await node.make(*"de")
    await written(node, 5)
    put_back(node, 3, older)
    await node.make("f")
    assert await node.problem() == ("removed", 5)
    await node.make(*"ghi")
    assert await node.problem() == ("altered", 5)
    await node.restart()
    await node.make("j")
    assert await node.problem() == ("altered", 5)


async def test_an_older_copy_of_the_whole_database_is_found(audit):
    node = await audit()
    if node.running.ctx("audit").db.dialect != "sqlite":
        return  # there is no file to put back
    await node.make(*"abc")
    data = file_of(node).parent.parent
    await node.running.stop()
    shutil.copy(data / "cloudos.db", data / "older.db")
    await node.running.start()
    await node.make(*"de")
    await written(node, 5)
    await node.running.stop()
    shutil.copy(data / "older.db", data / "cloudos.db")
    for suffix in ("-wal", "-shm"):
        (data / f"cloudos.db{suffix}").unlink(missing_ok=True)
    await node.running.start()
    assert (await node.problem())[0] == "removed"


async def test_a_file_that_a_crash_left_behind_is_brought_forward(audit):
    node = await audit()
    await node.make(*"ab")
    behind = await written(node, 2)
    await node.make("c")
    await written(node, 3)
    path = await stopped(node)
    ahead = path.read_bytes()
    path.write_bytes(behind)
    await node.running.start()
    assert path.read_bytes() == ahead
    assert await node.problem() is None


async def test_a_host_that_dies_between_commit_and_file_writes_on(audit, monkeypatch):
    node = await audit()
    await node.make("a")

    def die(self, end):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Recorder, "_store", die)
        await node.make("b")
    assert await node.problem() is None
    await node.make("c")
    assert await node.problem() is None
    await written(node, 3)


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"\xff", b'{"number": 1, "hash": "x", "mac": "y"}'])
async def test_a_file_that_was_altered_is_found_and_not_written_over(audit, content):
    node = await audit()
    await node.make(*"abc")
    path = await stopped(node)
    path.write_bytes(content)
    await node.running.start()
    assert await node.problem() == ("head", 0)
    await node.restart()
    await node.make("d")
    assert await node.problem() == ("head", 0)


async def test_the_file_of_an_earlier_version_is_taken_up(audit):
    node = await audit()
    await node.make(*"abc")
    path = await stopped(node)
    path.write_bytes(b"")
    await node.running.start()
    assert await node.problem() is None
    assert b'"number":3' in path.read_bytes()


async def test_the_file_is_for_the_node_alone(audit):
    node = await audit()
    await node.make("a")
    await written(node, 1)
    assert file_of(node).stat().st_mode & 0o777 == 0o600


async def test_only_a_copy_outside_of_the_node_shows_that_all_of_it_was_turned_back(audit):
    node = await audit()
    await node.make(*"abc")
    older, file = await head(node), await written(node, 3)
    await node.make("d")
    number, hash = await sealed(node)
    path = await stopped(node)
    put_back(node, 3, older)
    path.write_bytes(file)
    await node.running.start()
    assert await node.problem() is None, "nothing on the node knows better"
    outcome = await asked(node, number, hash)
    assert not outcome["valid"]
    assert (outcome["problem"]["kind"], outcome["problem"]["seq"]) == ("removed", 4)
    await node.make(*"efghi")
    outcome = await asked(node, number, hash)
    assert (outcome["problem"]["kind"], outcome["problem"]["seq"]) == ("altered", number)
    assert "audit.tampered" not in [event.type for event in await node.running.event_log()], "anybody could ask"


async def test_what_was_noted_elsewhere_is_compared(audit):
    node = await audit(retention_days=1)
    await node.make(*"abc")
    number, hash = await sealed(node)
    await node.make("d")
    assert (await asked(node, number, hash))["valid"]
    assert (await asked(node, number, "0" * 64))["problem"]["kind"] == "altered"
    node.later(3)
    await node.make("e")
    await node.keep()
    await node.keep()
    problem = await asked(node, number - 1, hash, 400)
    assert "retention" in problem["message"]
    for query in ("number=1", f"hash={hash}", "number=0&hash=" + hash, "number=1&hash=x"):
        assert (await node.client.get(f"/api/audit/verify?{query}")).status_code == 400


async def test_the_end_of_the_log_is_told_when_something_came(audit):
    node = await audit()
    await emit_seal(node.running.ctx("audit"))
    await node.make(*"ab")
    assert (await sealed(node))[0] == 2
    await sealed(node)
    await node.make("c")
    assert (await sealed(node))[0] == 4
    told = [event.type for event in await node.running.event_log()]
    assert told.count("audit.sealed") == 2


async def test_the_end_of_the_log_is_told_by_itself_each_hour(audit):
    node = await audit()
    await node.make("a")
    await node.running.clock.advance(3601)
    async with asyncio.timeout(5):
        while not await node.entries("?action=audit.sealed"):
            await asyncio.sleep(0.02)


async def test_a_syslog_is_told_where_the_log_ends(audit):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)
        node = await audit(syslog=f"127.0.0.1:{listening.getsockname()[1]}")
        await node.make("a")
        said = await asyncio.to_thread(listening.recv, 1000)
        _, hash, _ = await head(node)
        assert said.startswith(b"<110>cloudos-audit: sealed number=1 hash=" + hash.encode())


async def test_a_syslog_that_is_gone_keeps_no_entry_from_the_log(audit, tmp_path):
    node = await audit(syslog=str(tmp_path / "nothing"))
    await node.make(*"ab")
    assert await node.problem() is None


async def test_no_name_begins_a_line_of_the_log(audit):
    node = await audit()
    await node.make("x\r\n2026-01-01 forged\x1b[2J\u2028end", colour="re\nd")
    (entry,) = await node.entries()
    assert entry["resource"] == "x\\r\\n2026-01-01 forged\\x1b[2J\\u2028end"
    assert entry["details"].isprintable()
    exported = await (await node.client.get("/api/audit/export")).get_data(as_text=True)
    assert len(exported.splitlines()) == 1
    assert (await node.verify())["valid"]
