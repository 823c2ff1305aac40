"""Webhook deliveries a second, signed and written down, against a bare aiohttp loop of as many at once, to one sink."""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.load import PROGRAMS, node, program, report

ENDPOINTS, EACH, ROUNDS = 20, 1500, 3
ALL = ENDPOINTS * EACH
TIME = "2026-01-01 00:00:00.000000"


def main():
    """Print the ratio for what waits already, and for what comes out of the outbox, of a node that runs."""
    with tempfile.TemporaryDirectory() as data, program("counting_sink") as sink:
        with serve(data) as server:
            server.sign_in()
            hooks = [make(server, sink, number, "alert.fired") for number in range(ENDPOINTS)]
            other = make(server, sink, ENDPOINTS, "app.crashed")
        bare, waiting, outbox = [], [], []
        for round in range(ROUNDS):
            command = [sys.executable, PROGRAMS / "bare_sender.py", sink.url, str(ENDPOINTS), str(ALL)]
            subprocess.run(command, check=True, timeout=120)
            bare.append(rate(sink))
            with serve(data) as server:
                server.sign_in()
                switch(server, hooks, active=False)
            insert(data, insert_deliveries, round, hooks)
            with serve(data) as server:
                server.sign_in()
                time.sleep(3)  # the rest of the start is not what is measured,
                switch(server, hooks, active=False)  # nor the first request of its kind
                time.sleep(1)
                switch(server, hooks, active=True)
                waiting.append(rate(sink))
                insert(data, insert_events, round, hooks)
                switch(server, [other], active=True)  # an event that wakes the outbox
                outbox.append(rate(sink))
    raw = statistics.median(bare)
    for name, rates in (("waiting deliveries", waiting), ("events, from the outbox on", outbox)):
        ours = statistics.median(rates)
        title = f"webhooks to {ENDPOINTS} endpoints a second: {name}"
        report(title, ours / raw, ">= 0.5", f"{ours:.0f}", f"{raw:.0f}")


def switch(server, hooks, *, active):
    """Let all webhooks send, or none, at once: what is measured begins with the first that sends."""

    def put(hook):
        status, body = server.request("PUT", f"/api/webhooks/{hook}", {"active": active})
        assert status == 200, body

    with ThreadPoolExecutor(len(hooks)) as pool:
        list(pool.map(put, hooks))


def insert(data, rows, round, hooks):
    """Write to the node's database from outside."""
    with sqlite3.connect(Path(data) / "cloudos.db", timeout=20) as connection:
        rows(connection, round, hooks)


def serve(data):
    """Serve a node that may send to loopback."""
    return node(data, "apps", CLOUDOS_WEBHOOKS__ALLOW_PRIVATE="true")


def make(server, sink, number, event):
    """Make a webhook to the sink; return its id."""
    status, body = server.request("POST", "/api/webhooks", {"url": f"{sink.url}/{number}", "events": [event]})
    assert status == 201, body
    return body["id"]


def rate(sink):
    """Return how many a second came to the sink, once all came."""
    until = time.monotonic() + 120
    while ask(sink, "/")["count"] < ALL:
        assert time.monotonic() < until, f"only {ask(sink, '/')} came"
        time.sleep(0.1)
    time.sleep(0.2)
    seen = ask(sink, "/forget")
    assert seen["count"] == ALL, f"{seen['count']} came instead of {ALL}"
    return seen["count"] / seen["seconds"]


def ask(sink, path):
    """Ask the sink what it received."""
    with urllib.request.urlopen(sink.url + path, timeout=10) as answer:
        return json.load(answer)


def insert_deliveries(connection, round, hooks):
    """Put deliveries that wait into the database."""
    rows = []
    for number in range(EACH):
        id = f"evt_{round}x{number:05}"
        body = {"id": id, "type": "alert.fired", "timestamp": "2026-01-01T00:00:00Z", "data": {"resource": "al"}}
        rows += [(hook, id, "alert.fired", json.dumps(body), "waiting", 0, "[]", TIME) for hook in hooks]
    names = "webhook_id, event_id, type, body, state, tries, attempts, created_at"
    connection.executemany(f"INSERT INTO webhooks_delivery ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def insert_events(connection, round, hooks):
    """Put events into the outbox."""
    data = json.dumps({"resource": "al", "details": "", "rule": "r", "severity": "info"})
    rows = [(f"evt_{round}y{number:05}", "alert.fired", TIME, "al", "", "alerts:read", data) for number in range(EACH)]
    names = "id, type, time, resource, details, audience, data, actor_kind, actor_id, actor_name"
    marks = "?, ?, ?, ?, ?, ?, ?, 'system', 'system', 'system'"
    connection.executemany(f"INSERT INTO host_event ({names}) VALUES ({marks})", rows)
