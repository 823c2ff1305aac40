"""Server-sent events: stored and announced events by audience, resumable by `Last-Event-ID`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from cloudos_sdk import DatabaseUnavailable
from sqlalchemy.exc import SQLAlchemyError

from cloudos_host.data.outbox import EventOutbox

_QUEUE = 512
_HEARTBEAT = 15.0
_PAUSE = 2.0


class EventStreams:
    """All open event streams."""

    def __init__(self, log: EventOutbox) -> None:
        self._log = log
        self._open: set[asyncio.Queue[bytes | None]] = set()

    def close(self) -> None:
        """End every stream: the host stops."""
        for queue in self._open:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)

    async def stream(self, allowed: Callable[[str], bool], last_seen: int | None) -> AsyncIterator[bytes]:
        """Yield the stream of one listener; `last_seen` is the number of the last event that it has.

        As every open answer it ends once the listener's token no longer holds: the client comes back with a fresh one
        and its `Last-Event-ID`.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)

        def listen(id: str, type: str, audience: str, line: bytes) -> None:
            if allowed(audience):
                with contextlib.suppress(asyncio.QueueFull):
                    queue.put_nowait(frame(id, type, line))

        self._open.add(queue)
        self._log.listeners.add(listen)
        wake = asyncio.Event()
        self._log.watch(wake)
        tail = asyncio.create_task(self._tail(queue, wake, allowed, last_seen), name="events:stream")
        try:
            yield b"retry: 2000\n\n"
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        chunk = await queue.get()
                except TimeoutError:
                    chunk = b": still here\n\n"
                if chunk is None:
                    return
                yield chunk
        finally:
            tail.cancel()
            self._log.unwatch(wake)
            self._log.listeners.discard(listen)
            self._open.discard(queue)

    async def _tail(
        self,
        queue: asyncio.Queue[bytes | None],
        wake: asyncio.Event,
        allowed: Callable[[str], bool],
        last_seen: int | None,
    ) -> None:
        cursor = last_seen
        while True:
            try:
                if cursor is None:
                    cursor = await self._log.last()
                batch = await self._log.shown_after(cursor)
            except (SQLAlchemyError, DatabaseUnavailable):  # the stream goes on where it was once the database is back
                await asyncio.sleep(_PAUSE)
                continue
            for event in batch:
                if allowed(event.audience):
                    await queue.put(frame(str(event.seq), event.type, event.line))
                cursor = event.seq
            if not batch:
                await wake.wait()
                wake.clear()


def frame(id: str, type: str, data: bytes) -> bytes:
    """Return one message of an event stream (WHATWG HTML, 9.2)."""
    head = f"id: {id}\nevent: {type}\n" if id else f"event: {type}\n"
    return head.encode() + b"data: " + data + b"\n\n"
