"""A hundred thousand deliveries wait for one endpoint: in the database, and nobody else is kept waiting."""

import os

import psutil
import sqlalchemy as sa
from webhook_node import until

WAITING = 100_000
INSERT = """
    INSERT INTO webhooks_delivery (seq, webhook_id, event_id, type, body, state, tries, attempts, created_at)
    VALUES (:seq, :webhook_id, :event_id, 'thing.made', :body, 'waiting', 0, '[]', :now)
"""


async def test_memory_does_not_grow_with_what_waits(webhooks, webhook_sink):
    node = await webhooks(timeout_seconds=30)
    webhook_sink.mode["/hangs"] = "hang"
    hangs = await node.create(webhook_sink.url("/hangs"), "thing.made")
    well = await node.create(webhook_sink.url("/well"), "thing.made")
    db, now = node.running.ctx("webhooks").db, "2026-01-01 00:00:00+00:00"
    for first in range(0, WAITING, 10_000):
        numbers = range(first + 1, first + 10_001)
        rows = [
            {"seq": n, "webhook_id": hangs["id"], "event_id": f"evt_{n}", "body": f"{n:01000}", "now": now}
            for n in numbers
        ]
        await db.write(lambda session, rows=rows: session.execute(sa.text(INSERT), rows))
    del rows
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    await node.restart()
    await until(lambda: webhook_sink.at("/hangs"))
    ids = await node.emit(*(str(number) for number in range(20)))
    await until(lambda: webhook_sink.taken("/well") == ids, 5)
    assert (await node.get(hangs))["waiting"] == WAITING + 20
    assert (await node.get(well))["status"] == "healthy"
    grown = (process.memory_info().rss - before) / 2**20
    assert grown < 40, f"{grown:.0f} MB, of {WAITING / 1000:.0f} MB that wait"
