"""Servers on loopback that look like the services that notifications go to: each keeps what it was sent.

`sinks.slack` and so on point Apprise's own classes at them, where a service has but one address in the world.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Received:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Sink:
    """A server: `answer` decides about each request, and may be changed at any time."""

    url: str
    host: str
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, bytes]] = lambda request: (200, b"ok")

    def refuse(self, status: int, body: bytes = b"no") -> None:
        """Answer every request with an error from now on."""
        self.answer = lambda request: (status, body)

    def accept(self, body: bytes = b"ok") -> None:
        """Answer every request with 200 from now on."""
        self.answer = lambda request: (200, body)

    def texts(self) -> list[str]:
        """Return the bodies as text, oldest first."""
        return [request.body.decode() for request in self.received]


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Received(self.command, self.path, dict(self.headers), body)
            status, answer = sink.answer(request)
            sink.received.append(request)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_GET = _take

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Serve a sink that answers `ok`, as Slack does."""
    yield from _serve()


@pytest.fixture
def other_sink() -> Iterator[Sink]:
    """Serve a second sink."""
    yield from _serve()


def _serve() -> Iterator[Sink]:
    sink = Sink("", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(sink))
    sink.host = f"127.0.0.1:{server.server_port}"
    sink.url = f"http://{sink.host}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield sink
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def slack(sink: Sink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sink:
    """Have what goes to Slack go to the sink, in this process and in those that it starts."""
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"{sink.url}/services")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\nif 'cloudos_alerts.notify.sender_process' in sys.orig_argv:\n"
        "    from apprise.plugins.slack import NotifySlack\n"
        f"    NotifySlack.webhook_url = {sink.url + '/services'!r}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return sink


def slow(seconds: float) -> Callable[[Received], tuple[int, bytes]]:
    """Return an answer that takes its time."""

    def answer(request: Received) -> tuple[int, bytes]:
        time.sleep(seconds)
        return 200, b"ok"

    return answer
