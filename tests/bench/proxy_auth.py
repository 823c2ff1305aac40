"""A request through a route that asks for a sign-in against the same route without it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench.load import median, node, program, report, wrk
from tests.components.ports import free_ports

ROUNDS, SECONDS = 4, 3
PATH = "/api/auth/me"  # of the bare application, which has no other
GATED, OPEN = "gated.cloud.test", "open.cloud.test"


@dataclass
class Door:
    """Caddy, as wrk is to know it."""

    url: str
    process: Any


def main():
    """Print the ratios: before an app in Python, and before the fastest that there is, a fixed answer of nginx."""
    http, https, fast = free_ports(3)
    environ = {
        "CLOUDOS_PROXY__BIND_ADDRESS": "127.0.0.1",
        "CLOUDOS_PROXY__HTTP_PORT": str(http),
        "CLOUDOS_PROXY__HTTPS_PORT": str(https),
        "CLOUDOS_PROXY__ROUTE_CERTIFICATES": "none",
    }
    with (
        tempfile.TemporaryDirectory() as data,
        node(data, **environ) as server,
        program("bare_quart", "{}") as app,
        nginx(fast),
    ):
        server.sign_in()
        upstreams = {"an app in Python": app.url.removeprefix("http://"), "nginx": f"127.0.0.1:{fast}"}
        for number, address in enumerate(upstreams.values()):
            add(server, f"{number}.{GATED}", address, require_auth=True)
            add(server, f"{number}.{OPEN}", address, require_auth=False)
        status, applied = server.request("POST", "/api/proxy/apply", {})
        assert status == 200 and not applied["errors"], applied
        _, door = server.request("GET", "/api/proxy/status")
        caddy = Door(f"http://127.0.0.1:{http}", psutil.Process(door["pid"]))
        for number, name in enumerate(upstreams):
            measure(caddy, number, name, server.token)


def measure(caddy, number, name, token):
    """Print the ratio before one upstream."""
    gated, bare = [], []
    for _ in range(ROUNDS):
        headers = {"Host": f"{number}.{GATED}", "Authorization": f"Bearer {token}"}
        gated.append(wrk(caddy, PATH, headers, seconds=SECONDS))
        bare.append(wrk(caddy, PATH, {"Host": f"{number}.{OPEN}"}, seconds=SECONDS))
    ours, theirs = median(gated, "rate"), median(bare, "rate")
    report(f"require_auth before {name}, requests a second", ours / theirs, ">= 0.5", f"{ours:.0f}", f"{theirs:.0f}")


def add(server, hostname, address, **more):
    """Make a route."""
    body = {"hostname": hostname, "upstream_type": "manual", "upstream_addr": address, **more}
    status, made = server.request("POST", "/api/proxy/routes", body)
    assert status == 201, made


@contextlib.contextmanager
def nginx(port):
    """Run nginx with a fixed answer."""
    if shutil.which("nginx") is None:
        sys.exit("make bench needs nginx (Debian: apt-get install nginx-light)")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "conf"
        answer = 'location / { default_type text/plain; return 200 "hello"; }'
        config.write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; events {{}}\n"
            f"http {{ access_log off; keepalive_requests 1000000; server {{ listen 127.0.0.1:{port}; {answer} }} }}\n"
        )
        process = subprocess.Popen(["nginx", "-q", "-c", str(config)])
        try:
            time.sleep(0.5)
            yield
        finally:
            process.terminate()
            process.wait()
