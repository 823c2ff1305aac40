"""The newest events are read once, whoever waits for them, and each is given all of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cloudos_host.data import outbox_tail
from cloudos_host.data.outbox_tail import EventTail, StoredEvent


class Log:
    """Rows, and how often they were read."""

    def __init__(self, before=0):
        self.rows = []
        self.reads = 0
        self.next = 1
        self.add(before)

    def add(self, count):
        for _ in range(count):
            row = {"id": f"evt_{self.next}", "type": "a.b", "time": datetime(2026, 1, 1, tzinfo=UTC), "resource": "r"}
            row |= {"actor_kind": "user", "actor_id": "u", "actor_name": "n", "address": None, "request_id": None}
            self.rows.append(
                StoredEvent({**row, "seq": self.next, "details": "", "audience": "*", "data": '{"x":[1]}'})
            )
            self.next += 1

    async def load(self, seq, most):
        self.reads += 1
        await asyncio.sleep(0)
        return [row for row in self.rows if row.seq > seq][:most]

    async def last(self):
        return self.rows[-1].seq if self.rows else 0

    def tail(self):
        return EventTail(self.load, self.last)


def numbers(events):
    return [event.seq for event in events]


async def test_fifty_who_wait_for_one_commit_cost_one_read():
    log = Log(3)
    tail = log.tail()
    assert numbers(await tail.after(3)) == []
    log.add(2)
    tail.grew()
    before = log.reads
    found = await asyncio.gather(*(tail.after(3) for _ in range(50)))
    assert [numbers(each) for each in found] == [[4, 5]] * 50
    assert log.reads == before + 1
    assert numbers(await tail.after(4)) == [5] and log.reads == before + 1


async def test_who_is_far_behind_is_told_to_read_for_himself():
    log = Log(3)
    tail = log.tail()
    assert await tail.after(0) is None, "from before this start"
    log.add(outbox_tail._KEPT + 50)
    tail.grew()
    assert await tail.after(3) is None
    assert len(await tail.after(53)) == outbox_tail._KEPT


async def test_commits_without_an_end_do_not_hold_up_who_asks():
    log = Log(1)
    tail = log.tail()
    load = log.load

    async def growing(seq, most):
        log.add(1)
        tail.grew()
        return await load(seq, most)

    tail._load = growing
    async with asyncio.timeout(5):
        assert numbers(await tail.after(1)) == [2]


async def test_a_read_that_fails_is_made_again_by_the_next():
    log = Log(1)
    tail = log.tail()
    await tail.after(1)
    load, tail._load = tail._load, None
    log.add(1)
    tail.grew()
    for _ in range(2):
        try:
            await tail.after(1)
        except TypeError:
            continue
        raise AssertionError("nothing was read")
    tail._load = load
    assert numbers(await tail.after(1)) == [2]


async def test_what_one_handler_does_to_an_event_another_does_not_see():
    log = Log(1)
    (event,) = log.rows
    event.envelope().data["x"].append(2)
    assert event.envelope().data == {"x": [1]}
    assert orjson.loads(event.line)["data"] == {"x": [1]}


@given(st.lists(st.tuples(st.integers(0, 250), st.integers(0, 5)), max_size=8))
def test_every_reader_sees_every_event_once_and_in_order(steps):
    async def run():
        log = Log(2)
        tail = log.tail()
        seen = {number: [] for number in range(6)}
        places = dict.fromkeys(seen, 2)
        await tail.after(2)

        async def follow(who):
            at_hand = await tail.after(places[who])
            found = at_hand if at_hand is not None else await log.load(places[who], 10_000)
            seen[who] += numbers(found)
            places[who] = seen[who][-1] if seen[who] else 2

        for count, who in steps:
            log.add(count)
            tail.grew()
            await follow(who)
        await asyncio.gather(*map(follow, seen))
        assert all(found == list(range(3, log.next)) for found in seen.values())

    asyncio.run(run())
