"""One connection of hypercorn's with fewer system calls and tasks.

Hypercorn writes the head and the body of an answer in two system calls, and makes and cancels a task for each
request to end connections that are idle. Here what an answer consists of goes out in one call at the end of the
loop's turn, and a timer watches for idleness.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H11Protocol

from cloudos_host.http import request_head

_AT_ONCE = 2**16
_MOST_IGNORED = 2**20


def install(*, fast: bool = True) -> None:
    """Have `hypercorn.asyncio.serve` of this process use these connections; hypercorn has no setting for it.

    Without `fast` only the protocol, which bounds heads, is ours.
    """
    hypercorn.asyncio.run.TCPServer = FastTCPServer if fast else PlainTCPServer  # type: ignore[assignment, attr-defined]
    hypercorn.protocol.H11Protocol = OneProtocol  # type: ignore[assignment, attr-defined]


class FastPathConfig(Config):
    """Hypercorn's settings, which write the date that all answers of a second bear once."""

    _second = 0
    _headers: list[tuple[bytes, bytes]] = []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """Return the headers that hypercorn adds to an answer; the list is shared and must not be changed."""
        now = int(time.time())
        if now != self._second:
            self._second, self._headers = now, super().response_headers(protocol)
        return self._headers


class LastWord(Event):
    """Ends the sending side and ignores further input, because closing at once could cut off the answer."""


class OneProtocol(H11Protocol):
    """HTTP/1.1 with heads of bounded size, that stays HTTP/1.1.

    In clear, HTTP/2 is a tunnel past whoever looked at the first request alone. Hypercorn would switch to it for
    `Upgrade: h2c` and for the preface of a client that takes it for granted (RFC 9113, 3.3 and 3.4). The first is
    answered as if it were not there (RFC 9110, 7.8), the second with 505.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        request_head.measure_heads(self.connection)  # type: ignore[arg-type] # not yet that of a WebSocket
        self._ignored: int | None = None

    async def handle(self, event: Event) -> None:
        """Handle received data or a closed connection; after a refusal received data is ignored."""
        if self._ignored is None or not isinstance(event, RawData):
            await super().handle(event)
            return
        self._ignored += len(event.data)
        if self._ignored > _MOST_IGNORED:
            await self.send(Closed())

    async def _handle_events(self) -> None:
        try:
            await super()._handle_events()
        except request_head.HeadTooLarge:
            await self._refuse_head()

    async def _refuse_head(self) -> None:
        self._ignored = 0
        if self.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers, body = request_head.refusal()
            headers += self.config.response_headers("h11")
            await self._send_h11_event(h11.Response(status_code=431, headers=headers))
            await self._send_h11_event(h11.Data(data=body))
            await self._send_h11_event(h11.EndOfMessage())
        await self.send(LastWord() if self.stream is None else Closed())

    async def _check_protocol(self, event: h11.Request) -> None:
        """Switch to nothing."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version in (b"1.0", b"1.1"):
            await super()._create_stream(request)
            return
        await self._send_error_response(505)
        await self.send(Closed())


class PlainTCPServer(TCPServer):
    """Serves one connection as hypercorn does; a client that is refused can read why."""

    async def protocol_send(self, event: Event) -> None:
        """Send an event of the protocol."""
        if isinstance(event, LastWord):
            if not self.writer.is_closing():
                self.writer.write_eof()
            return
        await super().protocol_send(event)


class FastTCPServer(PlainTCPServer):
    """Serves one connection."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.idle_task: Any = IdleTimer(self.loop, self.config.keep_alive_timeout)
        self._waiting: list[bytes] = []
        self._size = 0
        self._flushing: asyncio.Handle | None = None

    async def run(self) -> None:
        """Serve until either side closes; a server that stops closes the connections that are idle."""
        watcher = self.loop.create_task(self._close_when_stopped())
        try:
            await super().run()
        except asyncio.CancelledError:
            if not self.context.terminated.is_set():
                raise
            # else it was not done in time, and asyncio of Python 3.11 would log that as an error
        finally:
            watcher.cancel()

    async def _read_data(self) -> None:
        try:
            await super()._read_data()
        finally:
            self.idle_task.close()  # what is still sent is not idle, and the tasks of the connection end

    async def protocol_send(self, event: Event) -> None:
        """Send an event of the protocol; data of one turn of the loop is written together."""
        if not isinstance(event, RawData):
            self._flush()
            await super().protocol_send(event)
            return
        if not event.data:
            return
        try:
            await self.writer.drain()  # waits while the client takes less than it is sent
        except (ConnectionError, RuntimeError):
            await self.protocol.handle(Closed())
            return
        if self._flushing is None:
            self._flushing = self.loop.call_soon(self._flush)
        self._waiting.append(event.data)
        self._size += len(event.data)
        if self._size >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            if not self.writer.is_closing():
                self.writer.write(data)

    async def _close(self) -> None:
        self._flush()
        await super()._close()

    async def _close_when_stopped(self) -> None:
        await self.context.terminated.wait()
        if self.idle_task.idle:
            await self._initiate_server_close()


class IdleTimer:
    """Ends a connection that was idle for so many seconds. In place of hypercorn's task for each request.

    One timer runs on through many requests, and looks when it is due whether the connection was idle all the time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None
        self._end: Callable[[], None] = lambda: None
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether the connection waits for its next request."""
        return self._since is not None

    async def restart(self, task_group: Any, action: Callable[[], Any]) -> None:
        """Begin to count; `action` is hypercorn's own wait, of which only the end is needed."""
        self._since = self._loop.time()
        if self._timer is None and not self._closed:
            server = getattr(action, "__self__")  # noqa: B009 - a bound method, which mypy does not see
            self._end = lambda: task_group.spawn(server._initiate_server_close)
            self._timer = self._loop.call_later(self._seconds, self._look)

    async def stop(self) -> None:
        """Stop counting: a request came, or the connection ends."""
        self._since = None

    def close(self) -> None:
        """Stop the timer for good."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return
        left = self._since + self._seconds - self._loop.time()
        if left <= 0:
            self._end()
        else:
            self._timer = self._loop.call_later(left, self._look)
