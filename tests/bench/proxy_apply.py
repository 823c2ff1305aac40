"""Apply of one change among 1,000 routes against Caddy's own `/load`, and what an unaffected route notices of 50."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from pathlib import Path

from tests.bench.load import node, program, quantile, report
from tests.components.ports import free_ports

ROUTES, ROUNDS, APPLIES = 1000, 8, 50
REST_SECONDS = 0.4
"""Before each timing: what follows a change (audit, subscribers) is not part of the next apply, nor of a `/load`."""


def main():
    """Print the ratio and the delay."""
    with tempfile.TemporaryDirectory(prefix="cos-bench-") as folder, program("bare_quart", "{}") as upstream:
        data = Path(folder) / "data"
        http_port, https_port = free_ports(2)
        environ = {
            "CLOUDOS_PROXY__BIND_ADDRESS": "127.0.0.1",
            "CLOUDOS_PROXY__HTTP_PORT": str(http_port),
            "CLOUDOS_PROXY__HTTPS_PORT": str(https_port),
            "CLOUDOS_PROXY__ROUTE_CERTIFICATES": "none",
        }
        with node(data, **environ) as server:
            server.sign_in()
        insert(data / "cloudos.db", upstream.url.removeprefix("http://"))
        with node(data, **environ) as server:
            server.sign_in()
            apply(server)
            admin = data / "proxy" / "admin.sock"
            ours, bare = [], []
            for number in range(ROUNDS):
                change(server, number + 1)
                time.sleep(REST_SECONDS)
                ours.append(timed(lambda: apply(server)))
                document = changed(call(admin, "GET", "/config/"), number)
                call(admin, "POST", "/load", changed(document, number + 50))  # ends ours, which takes its own time
                time.sleep(REST_SECONDS)
                bare.append(timed(lambda document=document: call(admin, "POST", "/load", document)))
                change(server, number + 100)
                apply(server)  # what we loaded behind its back is gone again
            ratio = statistics.median(ours) / statistics.median(bare)
            report("apply of one change among 1,000 routes, to Caddy's /load", ratio, "<= 1.3",
                   f"{statistics.median(ours):.0f} ms", f"{statistics.median(bare):.0f} ms")  # fmt: skip
            quiet, busy, loading = Prober(http_port), Prober(http_port), Prober(http_port)
            with quiet:
                time.sleep(8)
            with busy:
                for number in range(APPLIES):
                    change(server, number + 200)
                    apply(server)
            document = call(admin, "GET", "/config/")
            with loading:
                for number in range(APPLIES):
                    call(admin, "POST", "/load", changed(document, number))
            rest, ours, bare = (quantile(each.taken, 0.99) for each in (quiet, busy, loading))
            report("p99 of an unaffected route in 50 applies, ms more than at rest", ours - rest, "<= 50",
                   f"{ours:.1f} ms", f"{bare:.1f} ms in 50 of Caddy's /load, {rest:.1f} ms at rest")  # fmt: skip
            for name, each in (("applies", busy), ("Caddy's own /load", loading)):
                count = len(each.taken) + len(each.failed)
                print(
                    f"{len(each.failed)} of {count} requests failed in 50 {name} (target 0)",
                    *each.failed[:1],
                    flush=True,
                )


def apply(server):
    """Apply, and see that it went well."""
    status, outcome = server.request("POST", "/api/proxy/apply")
    assert status == 200 and not outcome["errors"], f"{status}: {str(outcome)[:300]}"


def change(server, size):
    """Change one route."""
    status, route = server.request("PUT", "/api/proxy/routes/route_bench00000007", {"max_body_mb": size})
    assert status == 200, route


def timed(work):
    """Return how many milliseconds it takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def changed(document, number):
    """Return a document of the same size that Caddy does not run yet, and whose servers end without a delay."""
    found = json.loads(document)
    found["apps"]["http"].pop("shutdown_delay", None)
    found["apps"]["http"]["servers"]["http"]["max_header_bytes"] = 1_000_000 + number
    return json.dumps(found).encode()


class OverSocket(http.client.HTTPConnection):
    """A connection to the admin API."""

    def __init__(self, path):
        super().__init__("caddy", timeout=60)
        self._path = str(path)

    def connect(self):
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def call(admin, method, path, body=None):
    """Call Caddy's admin API; return what it answers."""
    connection = OverSocket(admin)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.read()
    assert answer.status == 200, found
    connection.close()
    return found


class Prober:
    """Visitors of one route, each request on a new connection, until left."""

    def __init__(self, port):
        self._port = port
        self.taken, self.failed = [], []
        self._going = True
        self._threads = [threading.Thread(target=self._visit) for _ in range(2)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._going = False
        for thread in self._threads:
            thread.join()

    def _visit(self):
        while self._going:
            start = time.perf_counter()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
                connection.request("GET", "/api/auth/me", headers={"Host": "bench-3.example.com"})
                answer = connection.getresponse()
                answer.read()
                connection.close()
                assert answer.status == 200, answer.status
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(repr(error))
            else:
                self.taken.append((time.perf_counter() - start) * 1000)
            time.sleep(0.01)


def insert(database, upstream):
    """Put routes into the database of a node that is down."""
    now = "2026-01-01 00:00:00.000000"
    with sqlite3.connect(database) as connection:
        for number in range(ROUTES):
            values = {
                "id": f"route_bench{number:08}", "kind": "custom", "hostname": f"bench-{number}.example.com",
                "path_prefix": "", "upstream_type": "manual", "upstream_addr": upstream, "require_auth": 0,
                "options": "", "secret_options": "", "status": "pending", "created_at": now, "updated_at": now,
            }  # fmt: skip
            names = ", ".join(values)
            marks = ", ".join("?" for _ in values)
            connection.execute(f"INSERT INTO proxy_route ({names}) VALUES ({marks})", tuple(values.values()))
