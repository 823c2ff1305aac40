"""A receiver of webhooks on loopback that does to each path what a test tells it: answers, fails, hangs, closes, …"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass, field

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_HEADS = {
    "fail": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\nbroken",
    "refuse": b"HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 2\r\n\r\nno",
    "redirect": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    "gone": b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    "busy": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
    "nonsense": b"220 mail.example.org ESMTP\r\n",
}


@dataclass
class Received:
    """A request as it came, and whether it was answered with 200."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)
    taken: bool = False


class WebhookSink:
    """A server in a thread of its own; `sink.mode["/a"]` is ok, fail, third (fails every third time), hang, close,
    redirect, endless, drip, slow, refuse, gone, busy or nonsense."""

    def __init__(self):
        self.mode = {}
        self.received = []
        self.connections = 0
        self.sent = 0
        self._count = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook-sink", daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def url(self, path="/", host="127.0.0.1"):
        """Return the URL of a path."""
        return f"http://{host}:{self.port}{path}"

    def at(self, path):
        """Return what came to a path."""
        return [request for request in self.received if request.path == path]

    def taken(self, path):
        """Return the `webhook-id`s that a path took, in order."""
        return [request.headers["webhook-id"] for request in self.at(path) if request.taken]

    def stop(self):
        """End every connection and the thread."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self):
        self._end = asyncio.Event()
        self._tasks = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader, writer):
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(await self._request(reader), writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _request(self, reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Received(head[0].split()[1], headers, body)

    async def _answer(self, request, writer):
        """Answer as the path is told to; return whether the connection stays."""
        mode = self.mode.get(request.path, "ok")
        count = self._count[request.path] = self._count.get(request.path, 0) + 1
        self.received.append(request)
        if mode == "third":
            mode = "fail" if count % 3 == 0 else "ok"
        if mode in _HEADS:
            writer.write(_HEADS[mode])
        elif mode in ("ok", "slow"):
            await asyncio.sleep(0.5 if mode == "slow" else 0)
            request.taken = True
            writer.write(OK)
        elif mode == "hang":
            await asyncio.sleep(60)
        elif mode in ("endless", "drip"):
            request.taken = True
            await self._pour(writer, b"x" * 8192 if mode == "endless" else b"x", 0 if mode == "endless" else 0.1)
        await writer.drain()
        return mode not in ("close", "hang", "endless", "drip", "nonsense")

    async def _pour(self, writer, chunk, pause):
        """Send a body that does not end."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(2000):
            writer.write(chunk)
            await writer.drain()
            self.sent += len(chunk)
            await asyncio.sleep(pause)


@pytest.fixture
def webhook_sink():
    """Run a receiver for one test."""
    sink = WebhookSink()
    yield sink
    sink.stop()
