"""The readings as server-sent events (WHATWG HTML, 9.2), one message for each tick."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import orjson
from cloudos_sdk import iso
from cloudos_sdk.capabilities import Tick

from cloudos_system.series.history import matches
from cloudos_system.series.sampler import Sampler


class MetricStreams:
    """Streams ticks to listeners; a message is encoded once for all listeners with the same query."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._tick: Tick | None = None
        self._messages: dict[tuple[str, ...], bytes] = {}

    async def follow(self, wanted: Sequence[str]) -> AsyncIterator[bytes]:
        """Yield the newest tick at once and each one that follows."""
        chosen = tuple(sorted(set(wanted)))
        ticks = self._sampler.ticks()
        newest = self._sampler.latest()
        yield b"retry: 2000\n\n" + (self._message(newest, chosen) if newest is not None else b"")
        async for tick in ticks:
            yield self._message(tick, chosen)

    def _message(self, tick: Tick, wanted: tuple[str, ...]) -> bytes:
        if tick is not self._tick:
            self._tick, self._messages = tick, {}
        message = self._messages.get(wanted)
        if message is None:
            message = self._messages[wanted] = _encode(tick, wanted)
        return message


def _encode(tick: Tick, wanted: Sequence[str]) -> bytes:
    metrics = [
        {"metric": sample.name, "labels": dict(sample.labels), "value": sample.value}
        for sample in tick.samples
        if not wanted or matches(sample.name, wanted)
    ]
    body = orjson.dumps({"timestamp": iso(tick.time), "metrics": metrics})
    return b"event: metrics\ndata: " + body + b"\n\n"
