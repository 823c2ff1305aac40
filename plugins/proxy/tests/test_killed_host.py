"""A real `cloudos serve` that is killed at any instant: nothing is left running, and the next start puts all right."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from components.environments import serving
from components.ports import free_ports

CLOUDOS = Path(sys.executable).parent / "cloudos"
ROUTES = 80


class Hello(http.server.BaseHTTPRequestHandler):
    """Greets."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def node(tmp_path, caddy_program):
    """Return how to serve a node on one data folder and one pair of ports."""
    http_port, https_port = free_ports(2)
    environ = {
        "CLOUDOS_HOST__DISABLED": json.dumps(["apps", "system", "dashboard", "alerts", "webhooks", "notes", "memory"]),
        "CLOUDOS_PROXY__BIND_ADDRESS": "127.0.0.1",
        "CLOUDOS_PROXY__HTTP_PORT": str(http_port),
        "CLOUDOS_PROXY__HTTPS_PORT": str(https_port),
        "CLOUDOS_PROXY__CADDY_PROGRAM": str(caddy_program),
        "CLOUDOS_PROXY__ROUTE_CERTIFICATES": "none",
    }

    @contextlib.contextmanager
    def serve(**more):
        command = [CLOUDOS, "serve", "--port", "0", "--data-dir", tmp_path / "data"]
        with serving(command, **{**environ, **more}) as server:
            server.sign_in()
            server.http_port = http_port
            yield server

    return serve


def visit(node, hostname, path="/"):
    """Return the status of a name, or None where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": hostname})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def until(met, seconds=20):
    end = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)
    return found


def kill(node):
    """End a host as a power cut would; return the processes it had started."""
    children = psutil.Process(node.process.pid).children(recursive=True)
    node.process.send_signal(signal.SIGKILL)
    node.process.wait(10)
    return children


class Killed(Exception):
    """Leaves the block of a host that does not end as it should."""


def gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("keep_running", ["false", "true"])
def test_a_host_killed_in_the_middle_of_apply_starts_right_again(node, upstream, keep_running):
    settings = {"CLOUDOS_PROXY__KEEP_RUNNING": keep_running}
    for number, delay in enumerate((0.02, 0.15, 0.4)):
        with pytest.raises(Killed), node(**settings) as host:
            add(host, upstream, f"r{number}", ROUTES if number == 0 else 2)
            applying = threading.Thread(target=apply, args=(host,))
            applying.start()
            time.sleep(delay)
            left = kill(host)
            applying.join(20)
            if keep_running == "false":
                until(lambda left=left: all(gone(each) for each in left), 5)
            raise Killed
    with node(**settings) as host:
        status, routes = host.request("GET", "/api/proxy/routes")
        assert status == 200 and len(routes) == ROUTES + 4
        for route in routes:
            assert route["status"] in ("active", "pending")
        until(lambda: host.request("GET", "/api/proxy/status")[1]["trouble"] is None)
        for route in (routes[0], routes[-1]):
            wanted = 200 if route["status"] == "active" else 404
            if any(each["status"] == "active" for each in routes):
                until(lambda route=route, wanted=wanted: visit(host, route["hostname"]) == wanted)
        status, outcome = host.request("POST", "/api/proxy/apply")
        assert status == 200 and outcome["errors"] == [], outcome
        assert outcome["applied"] + outcome["unchanged"] == ROUTES + 4
        assert visit(host, routes[0]["hostname"]) == visit(host, routes[-1]["hostname"]) == 200
        pid = until(lambda: host.request("GET", "/api/proxy/status")[1]["pid"])  # None would be this process
    if keep_running == "true":
        psutil.Process(pid).terminate()
    else:
        assert not psutil.pid_exists(pid)


def test_a_caddy_whose_host_was_killed_as_it_was_started_is_found(node, upstream):
    settings = {"CLOUDOS_PROXY__KEEP_RUNNING": "true"}
    for number in range(3):
        with pytest.raises(Killed), node(**settings) as host:
            add(host, upstream, f"r{number}", 1)
            applying = threading.Thread(target=apply, args=(host,))
            applying.start()
            children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children")
            end = time.monotonic() + 5
            while not (started := children.read_text()) and time.monotonic() < end:
                pass
            host.process.send_signal(signal.SIGKILL)
            host.process.wait(10)
            applying.join(20)
            assert started
            raise Killed
    with node(**settings) as host:
        status, outcome = host.request("POST", "/api/proxy/apply")
        assert status == 200 and outcome["applied"] == 3, outcome
        assert visit(host, "r00.example.com") == 200
        pid = until(lambda: host.request("GET", "/api/proxy/status")[1]["pid"])  # None would be this process
    psutil.Process(pid).terminate()


def test_a_host_that_is_killed_takes_caddy_with_it_and_serves_again_after_its_start(node, upstream):
    with pytest.raises(Killed), node() as host:
        add(host, upstream, "a", 1)
        assert apply(host)["applied"] == 1
        assert visit(host, "a0.example.com") == 200
        left = kill(host)
        assert left, "Caddy is among them"
        until(lambda: all(gone(process) for process in left), 5)
        assert visit(host, "a0.example.com") is None
        raise Killed
    with node() as host:
        until(lambda: visit(host, "a0.example.com") == 200)


def add(host, upstream, name, count):
    for number in range(count):
        body = {"hostname": f"{name}{number}.example.com", "upstream_type": "manual", "upstream_addr": upstream}
        status, route = host.request("POST", "/api/proxy/routes", body)
        assert status == 201, route


def apply(host):
    try:
        return host.request("POST", "/api/proxy/apply")[1]
    except OSError:
        return None


def test_the_base_domain_leads_to_the_node_by_whatever_port_it_listens_on(node):
    settings = {"CLOUDOS_PROXY__BASE_DOMAIN": "home.test"}
    ports = []
    for _ in range(2):
        with node(**settings) as host:
            if not ports:
                assert apply(host) == {"applied": 1, "unchanged": 0, "errors": []}
            until(lambda host=host: visit(host, "home.test", "/api/health") == 200)
            _, listed = host.request("GET", "/api/proxy/upstreams")
            ports.append(listed[-1]["addr"])
            assert listed[-1]["addr"] == host.url.removeprefix("http://")
    assert ports[0] != ports[1]
