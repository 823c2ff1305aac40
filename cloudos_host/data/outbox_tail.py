"""The newest events, read once for all plugin readers and open event streams."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any

import orjson
from cloudos_sdk import Actor, Envelope, iso

_BATCH = 200
_KEPT = 500


class StoredEvent:
    """One row of the log."""

    def __init__(self, row: Any) -> None:
        self._row = row
        self.seq: int = row["seq"]
        self.type: str = row["type"]
        self.audience: str = row["audience"]

    def envelope(self) -> Envelope:
        """Return a copy of the event for one handler."""
        row = self._row
        return Envelope(
            seq=self.seq,
            id=row["id"],
            type=self.type,
            time=row["time"],
            actor=Actor(row["actor_kind"], row["actor_id"], row["actor_name"], row["address"]),
            resource=row["resource"],
            details=row["details"],
            data=orjson.loads(row["data"]),
            audience=self.audience,
            request_id=row["request_id"],
        )

    @cached_property
    def line(self) -> bytes:
        """Its JSON in an event stream."""
        row = self._row
        shown = {
            "id": row["id"],
            "type": self.type,
            "timestamp": iso(row["time"]),
            "resource": row["resource"],
            "data": orjson.Fragment(row["data"]),
        }
        return orjson.dumps(shown)


class EventTail:
    """Holds the newest events. `load` reads up to so many behind a number, `last` the number of the newest."""

    def __init__(
        self, load: Callable[[int, int], Awaitable[Sequence[StoredEvent]]], last: Callable[[], Awaitable[int]]
    ) -> None:
        self._load = load
        self._last = last
        self._events: deque[StoredEvent] = deque()
        self._start: int | None = None
        self.end = 0
        """The number up to which it was read."""
        self._grown, self._known = 1, 0
        self._turn = asyncio.Lock()

    def grew(self) -> None:
        """Note that there are new events; they are read on the next request."""
        self._grown += 1

    async def after(self, seq: int) -> list[StoredEvent] | None:
        """Return all events after a sequence number, oldest first; None if some of them are no longer held."""
        wanted = self._grown
        if self._known < wanted:
            async with self._turn:
                while self._known < wanted:
                    await self._read()
        if self._start is None or seq < self._start:
            return None
        found = []
        for event in reversed(self._events):
            if event.seq <= seq:
                break
            found.append(event)
        return found[::-1]

    async def _read(self) -> None:
        grown = self._grown
        if self._start is None:
            self._start = self.end = await self._last()
        found = await self._load(self.end, _BATCH)
        if found:
            self._events.extend(found)
            self.end = found[-1].seq
        while len(self._events) > _KEPT:
            self._start = self._events.popleft().seq
        if len(found) < _BATCH:
            self._known = grown
