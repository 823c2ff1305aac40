"""From readings to minutes: the open one in memory, closed ones on their way to the database."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from cloudos_sdk import DatabaseUnavailable
from cloudos_sdk.capabilities import Tick

from cloudos_system.series.store import MINUTE, Bucket, Key, Minute, SeriesStore

_WAITING = 60  # minutes that are kept while the database cannot be written


class MinuteBuffer:
    """Adds readings up by minute, and has each minute written once it is over.

    One write a minute instead of six spares a flash disk most of its wear; a crash loses the minute that was open.
    """

    def __init__(self, store: SeriesStore, log: Any) -> None:
        self._store = store
        self._log = log
        self._ts: int | None = None
        self._open: dict[Key, list[float]] = {}
        self._closed: deque[Minute] = deque(maxlen=_WAITING)
        self._wake = asyncio.Event()
        self._ending = False
        self.trouble: str | None = None
        """Why minutes wait for the database."""

    def add(self, tick: Tick, period: float) -> None:
        """Add the readings of a tick to the minute in which the time that they are about began."""
        start = int(tick.time.timestamp() - period)
        minute = start - start % MINUTE
        if minute != self._ts:
            self._close()
            self._ts = minute
        for sample in tick.samples:
            key, value = (sample.name, sample.labels), sample.value
            one = self._open.get(key)
            if one is None:
                self._open[key] = [value, value, value, 1]
            else:
                one[0] = min(one[0], value)
                one[1] = max(one[1], value)
                one[2] += value
                one[3] += 1

    def unwritten(self) -> list[Minute]:
        """Return the minutes that the database need not have yet, oldest first."""
        return [*self._closed, *self._opened()]

    async def run(self) -> None:
        """Write completed minutes until `close`. Must not be cancelled: the outcome of a write would be unknown."""
        while not self._ending or self._wake.is_set():
            await self._wake.wait()
            self._wake.clear()
            await self._write()

    def close(self) -> None:
        """Write all pending minutes and end `run`."""
        self._ending = True
        self._close()

    async def _write(self) -> None:
        batch = list(self._closed)
        if not batch:
            return
        try:
            await self._store.write(batch)
        except DatabaseUnavailable as error:  # they are tried again with the next minute
            self.trouble = f"{len(batch)} minutes of metrics cannot be written: {error.message}"
            self._log.warning("minutes of metrics cannot be written", minutes=len(batch), reason=error.message)
            return
        except Exception as error:  # noqa: BLE001 - so are these
            self.trouble = f"{len(batch)} minutes of metrics cannot be written: {type(error).__name__}; see the log."
            self._log.error("minutes of metrics cannot be written", minutes=len(batch), exc_info=error)
            return
        self.trouble = None
        written = {id(minute) for minute in batch}
        self._closed = deque((one for one in self._closed if id(one) not in written), maxlen=_WAITING)

    def _close(self) -> None:
        self._closed.extend(self._opened())
        self._open, self._ts = {}, None
        self._wake.set()

    def _opened(self) -> list[Minute]:
        if self._ts is None or not self._open:
            return []
        buckets = {
            key: Bucket(_short(low), _short(high), _short(total / n), int(n))
            for key, (low, high, total, n) in self._open.items()
        }
        return [Minute(self._ts, buckets)]


def _short(value: float) -> float:
    """Return the value without digits that say nothing."""
    return round(value, 3) if abs(value) >= 1 else float(f"{value:.6g}")
