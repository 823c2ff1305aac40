"""`GET /api/apps` with 200 apps against reading the same rows and dumping the JSON in a bare Quart handler."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path

from tests.bench.load import median, node, program, report, wrk

APPS, ROUNDS = 200, 4


def main():
    """Print the ratio."""
    with tempfile.TemporaryDirectory() as data:
        database = Path(data) / "cloudos.db"
        with node(data) as server:
            server.sign_in()
        insert(database)
        with node(data) as server, program("bare_quart", "{}", database) as bare:
            headers = {"Authorization": f"Bearer {server.sign_in()}"}
            status, body = server.request("GET", "/api/apps")
            assert status == 200 and len(body) == APPS, f"{status}: {str(body)[:200]}"
            ours, raw = [], []
            for _ in range(ROUNDS):
                ours.append(wrk(server, "/api/apps", headers, seconds=3))
                raw.append(wrk(bare, "/api/apps", seconds=3))
    rate, bare_rate = median(ours, "rate"), median(raw, "rate")
    report("GET /api/apps with 200 apps, requests a second", rate / bare_rate, ">= 0.8", f"{rate:.0f}", f"{bare_rate:.0f}")
