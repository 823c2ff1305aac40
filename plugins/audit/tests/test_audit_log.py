"""What the log records and how it is read."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from cloudos_audit.queries import AuditQueries
from cloudos_audit.recorder import Recorder
from cloudos_audit.schemas import Filters


async def replay(node) -> None:
    """Hand every stored event to the recorder once more."""
    recorder = node.running.ctx("audit").use(Recorder)
    events = await node.running.event_log()
    await recorder.handle(events)
    for envelope in events:
        await recorder.handle([envelope])


async def test_an_entry_has_the_shape_of_the_reference_and_says_who_did_it(audit):
    node = await audit()
    assert (await node.client.post("/api/things/app_def456")).status_code == 204
    await node.settled()
    (entry,) = await node.entries()
    assert entry["id"].startswith("aud_")
    assert list(entry)[:6] == ["id", "action", "resource", "details", "ip_address", "timestamp"]
    assert (entry["action"], entry["resource"], entry["details"]) == ("thing.made", "app_def456", "Made app_def456")
    assert entry["timestamp"] == "2026-01-01T00:00:00Z"
    assert entry["actor"] == {"kind": "user", "id": "usr_admin", "name": "admin"}
    (event,) = await node.running.event_log()
    assert (entry["ip_address"], entry["request_id"]) == (event.actor.address, event.request_id)
    assert entry["ip_address"] is not None and entry["request_id"] is not None


async def test_only_admins_read_the_log(audit):
    node = await audit()
    for path in ("/api/audit/logs", "/api/audit/export", "/api/audit/verify"):
        assert (await node.running.viewer.get(path)).status_code == 403
        assert (await node.running.operator.get(path)).status_code == 403
        assert (await node.running.anonymous.get(path)).status_code == 401


async def test_nothing_can_be_changed_through_the_api(audit):
    node = await audit()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await node.client.request(method, "/api/audit/logs")).status_code in (404, 405)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?action=thing.made", ["c", "b", "a"]),
        ("?action=thing.*", ["c", "b", "a"]),
        ("?action=things.*", ["d"]),
        ("?action=thing", []),
        ("?action=*", ["d", "c", "b", "a"]),
        ("?resource=b", ["b"]),
        ("?actor=usr_viewer", ["b"]),
        ("?actor=viewer", ["b"]),
        ("?actor=system", ["d", "a"]),
        ("?actor=system&action=thing.*&limit=1", ["a"]),
        ("?actor=system&limit=1", ["d"]),
        ("?since=2026-01-01T00:01:00Z", ["d", "c", "b"]),
        ("?since=2026-01-01T00:01:00", ["d", "c", "b"]),
        ("?since=2026-01-01T01:01:00%2B01:00", ["d", "c", "b"]),
        ("?until=2026-01-01T00:01:00Z", ["a"]),
        ("?since=2026-01-01T00:01:00Z&until=2026-01-01T00:02:00Z", ["b"]),
        ("?action=thing.made&resource=a&actor=system&until=2026-01-02", ["a"]),
        ("?actor=nobody", []),
    ],
)
async def test_filters_narrow_the_list_and_the_export_alike(audit, query, found):
    node = await audit()
    await node.make("a")
    await node.running.clock.advance(60)
    await node.running.viewer.post("/api/things/b")
    await node.running.clock.advance(60)
    await node.client.post("/api/things/c")
    await node.running.clock.advance(60)
    await node.make("d", event=node.Counted)
    assert [entry["resource"] for entry in await node.entries(query)] == found
    if "limit" not in query:
        response = await node.client.get(f"/api/audit/export{query}")
        lines = [orjson.loads(line) for line in (await response.get_data()).splitlines()]
        assert [line["resource"] for line in lines] == found[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "?since=yesterday",
        "?since=9999-12-31T23:59:59-12:00",
        "?colour=red",
        "?limit=0",
        "?limit=501",
        "?before=aud_none",
        "?after=%00",
        "?actor=%00",
        "?resource=a%00",
        "?action=%00.*",
        "?action=*.made",
    ],
)
async def test_a_query_that_does_not_fit_is_400_and_names_the_field(audit, query):
    node = await audit()
    response = await node.client.get(f"/api/audit/logs{query}")
    assert response.status_code == 400
    assert query[1:].split("=")[0] in str((await response.get_json())["fields"])


async def test_pages_go_down_by_before_and_up_by_after(audit):
    node = await audit()
    await node.make(*"abcde")
    await node.running.clock.advance(1)
    await node.make(*"fg")
    first = await node.entries("?limit=3")
    assert [e["resource"] for e in first] == ["g", "f", "e"]
    second = await node.entries(f"?limit=3&before={first[-1]['id']}")
    assert [e["resource"] for e in second] == ["d", "c", "b"]
    third = await node.entries(f"?limit=3&before={second[-1]['id']}")
    assert [e["resource"] for e in third] == ["a"]
    assert [e["resource"] for e in await node.entries(f"?limit=2&after={second[-1]['id']}")] == ["d", "c"]
    between = f"?after={third[0]['id']}&before={first[0]['id']}&actor=system"
    assert [e["resource"] for e in await node.entries(between)] == ["f", "e", "d", "c", "b"]


async def test_an_area_of_very_many_actions_is_listed_alike(audit, monkeypatch):
    monkeypatch.setattr("cloudos_audit.queries._MOST_ACTIONS", 0)
    node = await audit()
    await node.make(*"abc")
    await node.make("d", event=node.Counted)
    assert [e["resource"] for e in await node.entries("?action=thing.*&actor=system&limit=2")] == ["c", "b"]


async def test_an_export_is_json_lines_in_the_order_of_the_chain_whose_hashes_can_be_checked(audit):
    import hashlib

    node = await audit()
    await node.make(*"abc", colour="blue")
    response = await node.client.get("/api/audit/export")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    lines = [orjson.loads(line) for line in (await response.get_data()).splitlines()]
    previous = "0" * 64
    for line in lines:
        covered = (
            "seq event_id time action actor_kind actor_id actor_name address resource details data request_id prev_hash"
        )
        text = orjson.dumps({name: line[name] for name in covered.split()}, option=orjson.OPT_SORT_KEYS)
        assert line["prev_hash"] == previous
        assert line["hash"] == hashlib.sha256(text).hexdigest()
        previous = line["hash"]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert orjson.loads(lines[0]["data"]) == {"colour": "blue"}


async def test_an_export_longer_than_a_window_is_whole(audit, monkeypatch):
    monkeypatch.setattr("cloudos_audit.queries._WINDOW", 3)
    node = await audit()
    await node.make(*(f"t{n}" for n in range(9)))
    data = await (await node.client.get("/api/audit/export?resource=t7")).get_data()
    assert len(data.splitlines()) == 1
    assert len((await (await node.client.get("/api/audit/export")).get_data()).splitlines()) == 9


async def test_an_export_ends_where_the_log_ended_when_it_began(audit, monkeypatch):
    monkeypatch.setattr("cloudos_audit.queries._WINDOW", 3)
    node = await audit()
    await node.make(*"abcd")
    parts = AuditQueries(node.running.ctx("audit").db).export(Filters())
    lines = (await anext(parts)).splitlines()
    await node.make("late")
    lines += [line async for part in parts for line in part.splitlines()]
    assert [orjson.loads(line)["seq"] for line in lines] == [1, 2, 3, 4]


async def test_an_event_that_comes_twice_is_one_entry(audit):
    node = await audit()
    await node.make(*"abc")
    await replay(node)
    assert [seq for seq, _ in await node.recorded()] == [1, 2, 3]
    assert (await node.verify())["valid"]


async def test_a_reader_that_lost_its_place_writes_nothing_twice(audit):
    node = await audit()
    await node.make(*"abc")
    node.tamper("UPDATE host_event_cursor SET seq = 0 WHERE reader = 'audit:log'")
    await node.restart()
    await node.make("d")
    assert [seq for seq, _ in await node.recorded()] == [1, 2, 3, 4]
    assert (await node.verify())["valid"]


async def test_the_chain_goes_on_after_a_host_that_stopped_in_the_middle(audit):
    node = await audit()
    things = node.running.ctx("things")
    await node.make("first")
    await things.db.write(lambda s: [things.events.emit(s, node.Made(resource=f"t{n}")) for n in range(2000)])
    await asyncio.sleep(0.02)
    before = len(await node.recorded())
    await node.restart()
    await node.settled()
    assert before < 2001
    assert [seq for seq, _ in await node.recorded()] == list(range(1, 2002))
    assert (await node.verify()) == {"valid": True, "entries": 2001, "first": 1, "last": 2001, "problem": None}


async def test_a_log_that_is_installed_later_begins_with_the_oldest_event(audit):
    before = await audit(installed=False)
    await before.emit("a", "b")
    await before.running.stop()
    node = await audit(after=before)
    await node.settled()
    assert [entry["resource"] for entry in await node.entries()] == ["b", "a"]


async def test_an_entry_that_cannot_be_written_is_never_given_up_and_shows_in_the_health(audit, monkeypatch):
    from cloudos_audit.plugin import cloudos_health

    node = await audit()
    ctx = node.running.ctx("audit")
    recorder = ctx.use(Recorder)
    real = recorder.append
    failures = []

    def broken(session, events):
        failures.append(events[0].id)
        raise OSError("disk full")

    monkeypatch.setattr(recorder, "append", broken)
    things = node.running.ctx("things")
    await things.db.write(lambda s: things.events.emit(s, node.Made(resource="x")))
    async with asyncio.timeout(20):
        while len(failures) < 12:
            await node.running.clock.advance(31)
    health = await cloudos_health(ctx)
    assert not health.ok and "cannot be written" in health.detail
    monkeypatch.setattr(recorder, "append", real)
    while not await node.recorded():
        await node.running.clock.advance(1)
    async with asyncio.timeout(5):
        while "behind the events" not in (await cloudos_health(ctx)).detail:
            await asyncio.sleep(0.01)
    await node.running.clock.advance(31)
    assert (await cloudos_health(ctx)).ok
    assert [entry["resource"] for entry in await node.entries()] == ["x"]
