"""p99 of `GET /api/health` while one address and one viewer each send all that they may, against the quiet node."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import socket
import tempfile
import threading
import time
import urllib.parse

from tests.bench.load import node, probe, quantile, report

SECONDS = 8
VIEWER = {"username": "viewer", "password": "a viewer's password", "role": "viewer"}
LONG = "#a [[b]] `c` **d** " * 6000


def main():
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as data, node(data) as server:
        admin = server.sign_in()
        status, _ = server.request("POST", "/api/users", VIEWER)
        assert status == 201, status
        status, tokens = server.request("POST", "/api/auth/login", {k: VIEWER[k] for k in ("username", "password")})
        viewer = tokens["access_token"]
        wait_until_ready(server)
        quiet = measure(server, [])
        nobody = measure(server, strangers(server))
        seen = measure(server, requests_of_a_viewer(server, viewer), streams(server, viewer))
        wrote = measure(server, requests_of_a_writer(server, admin))
    for name, loud in (("one address", nobody), ("one viewer", seen), ("one writer of long notes", wrote)):
        report(f"p99 of /api/health beside {name}", loud / quiet, "<= 3", f"{loud:.1f} ms", f"{quiet:.1f} ms")


def wait_until_ready(server):
    """Wait until all plugins run."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        status, said = server.request("GET", "/api/ready")
        if status == 200 and said["ready"]:
            return
        time.sleep(0.2)


def measure(server, senders, held=()):
    """Return the p99 of probes a hundredth of a second apart while each sender sends what it has, over and over.

    The senders are a process of their own: threads beside the probe would hold it up themselves.
    """
    sender = multiprocessing.get_context("fork").Process(target=send_all, args=(server.url, senders, held), daemon=True)
    sender.start()
    try:
        time.sleep(1)
        end = time.monotonic() + SECONDS
        taken = probe(server.url, "/api/health", {}, lambda: time.monotonic() > end, 0.01)
    finally:
        sender.kill()
        sender.join()
    return quantile([ms for _, ms in taken], 0.99)


def send_all(url, senders, held):
    """Hold streams open and send requests until killed."""
    where = urllib.parse.urlsplit(url)
    with contextlib.ExitStack() as open_streams:
        for request in held:
            connection = open_streams.enter_context(connect(where))
            connection.sendall(request)
            threading.Thread(target=drain, args=(connection,), daemon=True).start()
        for request in senders:
            threading.Thread(target=send, args=(where, request), daemon=True).start()
        threading.Event().wait()


def drain(connection):
    """Read a stream to its end."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def connect(where):
    """Open a connection to the node."""
    return socket.create_connection((where.hostname, where.port), timeout=30)


def send(where, request):
    """Send one request after another, each on a connection of its own, and wait for the end of its answer."""
    while True:
        with contextlib.suppress(OSError), connect(where) as connection:
            connection.sendall(request)
            while connection.recv(65536):
                pass


def raw(server, method, path, body=None, bearer=None):
    """Return a request as bytes, after whose answer the node closes the connection."""
    where = urllib.parse.urlsplit(server.url)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {where.netloc}", "Connection: close"]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    return "\r\n".join([*lines, "", ""]).encode() + text


def strangers(server):
    """Return what one address sends that signed in nowhere: eight at once."""
    nested = b"[" * 500 + b"]" * 500
    return [
        raw(server, "GET", "/openapi.json"),
        raw(server, "GET", "/openapi.json"),
        raw(server, "POST", "/api/auth/login", {"username": "root", "password": "wrong"}),
        raw(server, "POST", "/api/auth/login", nested),
        raw(server, "POST", "/api/auth/refresh", {"refresh_token": "x" * 4000}),
        raw(server, "POST", "/api/auth/totp/verify", nested),
        raw(server, "GET", "/api/auth/me", bearer="x" * 4000),
        raw(server, "GET", "/api/nothing?" + "a=b&" * 1000),
    ]


def requests_of_a_viewer(server, bearer):
    """Return what a viewer asks for: eight at once."""
    return [
        raw(server, "GET", path, bearer=bearer)
        for path in (
            "/api/templates",
            "/api/system/metrics?period=30d",
            "/api/notes?limit=500",
            "/api/notes?q=a",
            "/api/alerts/history?limit=500",
            "/api/dashboard",
            "/api/system/metrics/current",
            "/api/plugins",
        )
    ]


def streams(server, bearer):
    """Return the event streams that a viewer may hold open."""
    return [raw(server, "GET", "/api/events", bearer=bearer) for _ in range(100)]


def requests_of_a_writer(server, bearer):
    """Return long notes with much markup: two at once."""
    return [raw(server, "POST", "/api/notes", {"title": f"Long {n}", "content": LONG}, bearer) for n in range(2)]
