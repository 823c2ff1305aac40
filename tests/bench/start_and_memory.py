"""Start to the first 200 and idle memory, with all plugins and nothing to migrate, against a bare Quart application."""

from __future__ import annotations

import statistics
import tempfile
import time
import urllib.error
import urllib.request

import psutil

from tests.bench.load import node, program, report

ROUNDS = 5


def main():
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as data:
        with node(data) as server:
            server.sign_in()
        ours, raw = [], []
        for _ in range(ROUNDS):
            ours.append(measure(lambda: node(data), "/api/health"))
            raw.append(measure(lambda: program("bare_quart", "{}"), "/api/auth/me"))
    (start, memory), (bare_start, bare_memory) = median(ours), median(raw)
    report("start to the first 200, to bare Quart", start / bare_start, "<= 3", f"{start:.2f} s", f"{bare_start:.2f} s")
    report("idle memory (PSS), to bare Quart", memory / bare_memory, "<= 3",
           f"{memory:.0f} MB", f"{bare_memory:.0f} MB")  # fmt: skip


def measure(serve, path):
    """Return seconds to the first 200 and megabytes after two idle seconds."""
    begin = time.perf_counter()
    with serve() as server:
        while True:
            try:
                urllib.request.urlopen(server.url + path, timeout=5).read()
                break
            except urllib.error.URLError:
                time.sleep(0.005)
        took = time.perf_counter() - begin
        time.sleep(2)
        tree = [psutil.Process(server.process.pid)]
        tree += tree[0].children(recursive=True)
        return took, sum(process.memory_full_info().pss for process in tree) / 1e6


def median(pairs):
    """Return the median of each of the two figures."""
    return tuple(statistics.median(values) for values in zip(*pairs, strict=True))
