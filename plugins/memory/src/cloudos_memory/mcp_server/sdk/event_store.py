"""The last messages of each session, bounded, for clients that reconnect.

Not in the database: a session ends with the process, and with it the streams that could be resumed.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage

from cloudos_memory.mcp_server.sessions import in_hand


class SessionEventLog:
    """The messages of one session, oldest first; each has a number and the stream that it belongs to."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._next = 1
        self._kept: deque[tuple[int, str, Any, int]] = deque()

    def append(self, stream: str, message: JSONRPCMessage | None) -> str:
        """Keep a message; return the id by which a client names it."""
        number, size = self._next, 64 + (len(message.model_dump_json(by_alias=True)) if message is not None else 0)
        self._next += 1
        if message is not None:
            self._kept.append((number, stream, message, size))
            self._bytes += size
            while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
                self._bytes -= self._kept.popleft()[3]
        return f"{number}/{stream}"

    def after(self, event_id: str) -> tuple[str, list[tuple[str, Any]]] | None:
        """Return the stream of an event and its later messages; None for an unknown id."""
        number, slash, stream = event_id.partition("/")
        if not slash or not number.isascii() or not number.isdigit() or len(number) > 15 or int(number) >= self._next:
            return None
        later = [(f"{n}/{s}", message) for n, s, message, _ in self._kept if s == stream and n > int(number)]
        return stream, later


class SessionEventStore(EventStore):
    """The SDK's event store: the log of the session in hand, so that no session reads another's."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep a message of the session in hand."""
        return self._log().append(stream_id, message)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send the current session's later messages of that stream."""
        found = self._log().after(last_event_id)
        if found is None:
            return None
        stream, later = found
        for event_id, message in later:
            await send_callback(EventMessage(message, event_id))
        return stream

    def _log(self) -> SessionEventLog:
        session = in_hand()
        if session.log is None:
            session.log = SessionEventLog(self._most, self._most_bytes)
        log: SessionEventLog = session.log
        return log
