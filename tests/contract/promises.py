"""What holds for every answer of the API, and a host with all installed plugins to ask."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from components.ports import free_ports

from cloudos_host.plugins.discovery import discover

WHO = {"username": "root", "password": "correct horse battery"}


_PORTS = free_ports(2)
SETTINGS = {
    "auth": {"bcrypt_cost": 4},
    "proxy": {
        "bind_address": "127.0.0.1",
        "http_port": _PORTS[0],
        "https_port": _PORTS[1],
        "route_certificates": "none",
    },
}
OPEN_ENDED = {("get", "/api/events"), ("get", "/api/system/metrics/stream")}
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def installed():
    """Return the ids of the plugins that can run here."""
    return [found.id for found in discover() if found.error is None]


def endpoints():
    """Return the endpoints that the host and the installed plugins owe, as dictionaries."""
    with (Path(__file__).parent / "endpoints.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in rows if row["owner"] in ("host", *installed())]


async def all_plugins(cloudos):
    """Run every installed plugin and sign in; return the host and the admin's header."""
    host = await cloudos(*installed(), settings=SETTINGS)
    return host, await sign_in(host)


async def sign_in(host):
    """Sign in as the admin, made where there is none; return the header."""
    await host.anonymous.post("/api/auth/setup", json=WHO)
    answer = await host.anonymous.post("/api/auth/login", json=WHO)
    assert answer.status_code == 200
    return {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}


def check_error(status, content_type, body, *, where=""):
    """Check the shape of an error: a snake_case code and a sentence."""
    assert content_type.split(";")[0] == "application/json", f"{where} {status}: {content_type}"
    assert isinstance(body, dict), f"{where} {status}: {body!r}"
    assert CODE.fullmatch(body.get("error", "")), f"{where} {status}: {body!r}"
    assert body.get("message"), f"{where} {status}: {body!r}"
    if status == 503:
        assert len(body["message"]) > 10, f"{where}: a 503 says what is missing and what to do: {body!r}"
