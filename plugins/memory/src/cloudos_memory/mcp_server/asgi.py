"""Small things of ASGI and JSON-RPC that the MCP endpoints are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

SESSION_HEADER = b"mcp-session-id"
VERSION_HEADER = b"mcp-protocol-version"
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
RATE_LIMITED = -32029  # of the range that JSON-RPC leaves to servers

_HOLD = 0.05  # seconds, more than a search takes

Started = Callable[[int, dict[bytes, bytes]], None]


def header(scope: Any, name: bytes) -> bytes:
    """Return a request header by lower-case name, or an empty text."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


async def read_body(receive: Any, most: int) -> bytes | None:
    """Return the body of a request; None if it exceeds `most` or the client disconnects."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def replay(body: bytes, receive: Any) -> Any:
    """Return a `receive` that gives a body that was read already."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class RequestEnds:
    """Wraps `receive`, so that it can be released after the request: the MCP SDK keeps a session's first request."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive

    async def receive(self) -> Any:
        """Return the next message; that the client is gone, afterwards."""
        return await self._receive() if self._receive is not None else {"type": "http.disconnect"}

    def let_go(self) -> None:
        """Keep nothing of the connection."""
        self._receive = None


async def refuse(
    send: Any,
    status: int,
    code: int,
    message: str,
    id: Any = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    data: Any = None,
) -> None:
    """Answer with a JSON-RPC error."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    body = orjson.dumps({"jsonrpc": "2.0", "id": id, "error": error})
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


class McpResponse:
    """The answer to one request; completed even if the request was cancelled.

    An event stream is held back for a moment: most calls are answered by then, and one answer that is whole, with its
    length, costs a third of the writes of a stream that begins, speaks and ends.
    """

    def __init__(self, send: Any, started: Started | None = None, body: Callable[[bytes], None] | None = None) -> None:
        self._send = send
        self._started = started
        self._body = body
        self._begun = self._done = False
        self._held: dict[str, Any] | None = None
        self._chunks: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._letting_go: asyncio.Task[None] | None = None

    async def send(self, message: Any) -> None:
        """Pass a message on, or hold it back."""
        if self._done:
            return
        if self._letting_go is not None:
            await self._letting_go
        if message["type"] == "http.response.start":
            self._begun = True
            if self._started is not None:
                self._started(message["status"], dict(message["headers"]))
            if _is_stream(message):
                self._held = message
                self._timer = asyncio.get_running_loop().call_later(_HOLD, self._let_go_soon)
                return
        elif message["type"] == "http.response.body":
            self._done = not message.get("more_body", False)
            if self._body is not None:
                self._body(message.get("body", b""))
            if self._held is not None:
                self._chunks.append(message.get("body", b""))
                if self._done:
                    await self._send_whole()
                return
        await self._send(message)

    async def finish(self) -> None:
        """End an answer that was cut off."""
        if self._letting_go is not None:
            await self._letting_go
        if self._done:
            return
        self._done = True
        if self._held is not None:
            await self._send_whole()
        elif self._begun:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await refuse(self._send, 404, INVALID_REQUEST, "The session was ended.")

    def close(self) -> None:
        """Stop holding back: nobody waits for the answer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def let_go(self) -> None:
        """Drop the connection; later messages are discarded."""
        self._done, self._send, self._started, self._body = True, None, None, None

    def _let_go_soon(self) -> None:
        if self._held is not None:
            self._letting_go = asyncio.get_running_loop().create_task(self._let_go(), name="memory:begin-stream")

    async def _let_go(self) -> None:
        start, self._held = self._held, None
        chunks, self._chunks = b"".join(self._chunks), []
        await self._send(start)
        if chunks:
            await self._send({"type": "http.response.body", "body": chunks, "more_body": True})

    async def _send_whole(self) -> None:
        start, self._held = self._held, None
        self.close()
        body = b"".join(self._chunks)
        if start is not None:
            length = (b"content-length", str(len(body)).encode())
            await self._send({**start, "headers": [*start["headers"], length]})
            await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _is_stream(start: Any) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start["headers"])
