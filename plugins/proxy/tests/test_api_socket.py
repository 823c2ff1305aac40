"""How Caddy reaches the node's API: by a socket that only the node has, so that nobody takes its place."""

from __future__ import annotations

import json
import socket
import stat
import threading
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from signed_on import OPEN, run

from cloudos_host.plugins.discovery import discover

NODE = "node.cloud.test"
OTHERS = [found.id for found in discover() if found.error is None and found.id not in ("auth", "proxy")]
SECRETS = {"Cookie": "cloudos_access=a-session", "Authorization": "Bearer a-token"}


class Thief:
    """Listens on a port, and keeps what is sent there."""

    def __init__(self, port):
        self.taken = []
        self._socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(2)
            self.taken.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.close()

    def close(self):
        self._socket.close()


def answers(node, hostname, path="/api/health"):
    """Return the status of a visit by a name, with what must not be told to others."""
    url = f"http://127.0.0.1:{node.port}{path}"
    return httpx.get(url, headers={"Host": hostname, **SECRETS}, timeout=15).status_code


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_who_takes_the_port_of_a_host_that_is_down_receives_nothing(tmp_path, echo_app, caddy_program, killed):
    more = {"CLOUDOS_HOST__DISABLED": json.dumps(OTHERS), "CLOUDOS_PROXY__KEEP_RUNNING": "true"}
    inward = tmp_path / "api.sock"
    try:
        with run(tmp_path, echo_app, "http", CLOUDOS_PROXY__BASE_DOMAIN=NODE, **more) as node:
            assert answers(node, NODE) == 200
            assert answers(node, OPEN, "/x") == 200
            pid = node.pid()
            assert stat.S_IMODE(inward.stat().st_mode) == 0o600
            if killed:
                node.server.process.kill()
                node.server.process.wait(10)
                raise ProcessLookupError
    except ProcessLookupError:
        pass
    assert inward.exists() == killed
    thief = Thief(urlsplit(node.server.url).port)
    try:
        for path in ("/api/health", "/", "/api/auth/login", "/.cloudos/session?code=c"):
            assert answers(node, NODE, path) == 502
        assert answers(node, OPEN, "/.cloudos/session?code=c") == 502
        assert answers(node, OPEN, "/x") == 200, "an app is served on"
        assert thief.taken == []
    finally:
        thief.close()
        psutil.Process(pid).terminate()
