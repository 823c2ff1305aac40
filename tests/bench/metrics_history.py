"""The history of 20 series over 24 h out of a year of 60, against the bare SQL over the same rows; its size."""

from __future__ import annotations

import http.client
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
import urllib.parse
from pathlib import Path

from tests.bench.load import node, report

SERIES, ASKED, ROUNDS = 60, 20, 4
MINUTE, HOUR, DAY = 60, 3600, 86_400
KEPT = {MINUTE: DAY, HOUR: 30 * DAY, DAY: 365 * DAY}
LABELS = [f'{{"number":"{n:02}"}}' for n in range(SERIES)]
SQL = """SELECT series, ts, low, high, mean FROM system_rollup
WHERE step = 60 AND series IN ({}) AND ts >= ? AND ts < ? ORDER BY series, ts"""


def main():
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as data:
        database = Path(data) / "cloudos.db"
        with node(data) as server:
            server.sign_in()
        empty = size(database)
        ids = insert(database)
        mb = (size(database) - empty) / 1e6
        print(f"{f'a year of {SERIES} series on disk, MB':58} {mb:6.1f}  (target < 60)", flush=True)
        with node(data) as server:
            server.sign_in()
            server.request("GET", "/api/system/metrics/current")  # waits until the plugin runs
            begun = time.perf_counter()
            status, body = server.request("GET", next(questions()))
            first = (time.perf_counter() - begun) * 1000
            filled = sum(value is not None for one in body["series"] for value in one["mean"])
            assert status == 200 and len(body["series"]) == ASKED, body
            assert filled >= ASKED * 1430, f"only {filled} points"
            ours, again, raw = [], [], []
            for _ in range(ROUNDS):
                raw.append(bare(database, ids[:ASKED]))
                ours.append(asked(server, questions()))
                again.append(asked(server, itertools.repeat(next(questions()))))
    answer, repeated, query = (statistics.median(taken) for taken in (ours, again, raw))
    name, figures = "20 series over 24 h by HTTP, p50, to the bare SQL", f"{query:.1f} ms"
    report(f"{name}, the first after a start", first / query, "<= 3", f"{first:.1f} ms", figures)
    report(f"{name}, each another", answer / query, "<= 3", f"{answer:.1f} ms", figures)
    report(f"{name}, between readings", repeated / query, "<= 3", f"{repeated:.1f} ms", figures)
    print("                                                                   (and under 25 ms)", flush=True)


def questions():
    """Yield queries with one answer, no two the same: an answer that was given before is of no use."""
    for times in itertools.count(1):
        yield "/api/system/metrics?" + urllib.parse.urlencode(
            [("range", "24h"), *[("metric", "bench.level")] * (times % 50 + 1)]
        )


def asked(server, paths):
    """Return the p50 of the API in ms."""
    headers = {"Authorization": f"Bearer {server.token}"}
    where = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    taken = []
    for path in itertools.islice(paths, 40):
        begun = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert len(answer.read()) > 100_000 and answer.status == 200
        taken.append((time.perf_counter() - begun) * 1000)
    connection.close()
    return statistics.median(taken)


def bare(database, ids):
    """Return the p50 of the same rows by sqlite3 alone, in ms."""
    now = int(time.time())
    query = SQL.format(", ".join(map(str, ids)))
    with sqlite3.connect(database) as connection:
        taken = []
        for _ in range(40):
            begun = time.perf_counter()
            rows = connection.execute(query, (now - DAY, now)).fetchall()
            taken.append((time.perf_counter() - begun) * 1000)
    assert len(rows) > ASKED * 1400
    return statistics.median(taken)


def insert(database):
    """Fill all three steps of a node that is down up to now; return the ids of the series."""
    now = int(time.time())
    chance = random.Random(1)
    with sqlite3.connect(database) as connection:
        names = [("bench.level" if n < ASKED else f"bench.other{n}", LABELS[n]) for n in range(SERIES)]
        connection.executemany("INSERT INTO system_series (metric, labels) VALUES (?, ?)", names)
        found = connection.execute("SELECT id FROM system_series WHERE metric LIKE 'bench.%' ORDER BY id").fetchall()
        ids = [row[0] for row in found]
        for series in ids:
            for step, length in KEPT.items():
                last = now - now % step
                connection.executemany(
                    "INSERT INTO system_rollup (step, series, ts, low, high, mean, n) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (row(chance, step, series, ts) for ts in range(last - length, last + step, step)),
                )
    return ids


def row(chance, step, series, ts):
    """Return a bucket of values as a sampler finds them."""
    low, high = round(chance.uniform(0, 50), 1), round(chance.uniform(50, 100), 1)
    return step, series, ts, low, high, round(chance.uniform(low, high), 3), step // 10


def size(database):
    """Return the bytes of a database whose log has been written back."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database.stat().st_size
