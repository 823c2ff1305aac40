"""The gate's own listener: Caddy asks here on every request of a gated route, so an answer costs a tenth of a route's.

One client, Caddy, and one question: a GET without a body, one at a time on each connection (RFC 9112). Whatever else
comes closes the connection, which Caddy takes for a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from cloudos_sdk.addresses import parse_address

from cloudos_proxy.caddy.config.visitor_headers import PEER, PROTOCOL, VISITOR
from cloudos_proxy.caddy.open_visits import peer_of
from cloudos_proxy.sign_in.auth_request import AuthDecision, AuthRequest, asked

_LONGEST_HEAD = 128 * 1024
_MOST_FIELDS = 120  # a visitor's hundred, and what Caddy adds
_PATH_LIMIT = 107
_VISITOR, _PEER, _PROTOCOL = VISITOR.lower(), PEER.lower(), PROTOCOL.lower()
_REASONS = {200: "OK", 302: "Found", 401: "Unauthorized", 431: "Request Header Fields Too Large", 502: "Bad Gateway"}

_TOO_MANY = (
    b'{"error":"head_too_large","message":"A request for what is behind the sign-in has at most 100 header fields; send'
    b' fewer."}'
)

Known = Callable[[AuthRequest], AuthDecision | None]
Judge = Callable[[AuthRequest], Awaitable[AuthDecision]]


class AuthSocket:
    """Listens on a socket in the data folder, mode 0600."""

    def __init__(self, path: Path, known: Known, judge: Judge, log: Any) -> None:
        self._path = path
        self._known = known
        self._judge = judge
        self._log = log
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @property
    def dial(self) -> str | None:
        """How Caddy reaches it; None while it does not listen."""
        return f"unix/{self._path}" if self._server is not None else None

    async def start(self) -> None:
        """Start to listen; logs a warning if the path is too long for a Unix socket."""
        if len(str(self._path)) > _PATH_LIMIT:
            self._log.warning("the gate has no socket of its own, its path is too long", path=str(self._path))
            return
        self._path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), str(self._path))
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._open):
                connection.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._server.wait_closed()
            self._server = None
        self._path.unlink(missing_ok=True)

    def entered(self, connection: _Connection) -> None:
        """Remember a connection."""
        self._open.add(connection)

    def left(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)

    def answer(self, head: bytes, connection: _Connection) -> None:
        """Answer one question: at once from memory, else asynchronously."""
        question = _read(head)
        if question is None:
            connection.close()
            return
        known = self._known(question)
        if known is not None:
            connection.send(known)
        else:
            connection.waiting = asyncio.ensure_future(self._find_out(question, connection))

    async def _find_out(self, question: AuthRequest, connection: _Connection) -> None:
        try:
            answer = await self._judge(question)
        except Exception as error:  # noqa: BLE001 # whatever it is, it lets nobody in
            self._log.error("the gate failed", error=repr(error))
            answer = AuthDecision(502)
        connection.send(answer)


class _Connection(asyncio.Protocol):
    """One connection of Caddy's."""

    def __init__(self, gate: AuthSocket) -> None:
        self._gate = gate
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self.waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # of a stream, and not always of that class
        self._gate.entered(self)

    def data_received(self, data: bytes) -> None:
        """Buffer received data and answer complete questions."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            if len(self._received) > _LONGEST_HEAD:
                self.close()
            return
        if head.count(b"\n") > _MOST_FIELDS:
            self.send(AuthDecision(431, (("Content-Type", "application/json"), ("Connection", "close")), _TOO_MANY))
            self.close()
            return
        self._received = b""
        if rest:
            self.close()
            return
        self._gate.answer(head, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel pending answers."""
        if self.waiting is not None:
            self.waiting.cancel()
        self._transport = None
        self._gate.left(self)

    def send(self, answer: AuthDecision) -> None:
        """Send one answer."""
        if self._transport is not None:
            self._transport.write(_written(answer))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


def _read(head: bytes) -> AuthRequest | None:
    """Return the question in a request head; None if malformed."""
    line, *fields = head.decode("latin-1").split("\r\n")
    method, _, rest = line.partition(" ")
    path, _, version = rest.partition(" ")
    if method != "GET" or version != "HTTP/1.1":
        return None
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon:
            return None
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}; {value}" if name == "cookie" and name in headers else value
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return None
    shared = not headers.get(_PROTOCOL, "").startswith("HTTP/1.")
    address, peer = parse_address(headers.get(_VISITOR)), peer_of(headers.get(_PEER))
    return asked(path.partition("?")[2], headers, address, peer, shared=shared)


def _written(answer: AuthDecision) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines.append(f"Content-Length: {len(answer.body)}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1", "replace") + answer.body
