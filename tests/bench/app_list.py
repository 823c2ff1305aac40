"""`GET /api/apps` with 200 apps against reading the same rows and dumping the JSON in a bare Quart handler."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path

from cloudos_apps.templates.catalog import own_templates

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
    report(
        "GET /api/apps with 200 apps, requests a second", rate / bare_rate, ">= 0.8", f"{rate:.0f}", f"{bare_rate:.0f}"
    )


def insert(database):
    """Put rows of apps that exist nowhere else into the database of a node that is down."""
    now = "2026-01-01 00:00:00.000000"
    template = own_templates()["gitea"].model_dump_json()
    ports = json.dumps({"web": 20000})
    with sqlite3.connect(database) as connection:
        for number in range(APPS):
            values = {
                "id": f"app_bench{number:08}", "name": f"bench-{number}", "template": "gitea", "version": "1.0",
                "status": "stopped", "intended": "stopped", "generation": 1, "template_json": template, "config": "{}",
                "ports": ports, "volumes": "[]", "addr": f"127.0.0.1:{20000 + number}",
                "created_at": now, "updated_at": now,
            }  # fmt: skip
            names = ", ".join(values)
            marks = ", ".join("?" for _ in values)
            connection.execute(f"INSERT INTO apps_app ({names}) VALUES ({marks})", tuple(values.values()))
