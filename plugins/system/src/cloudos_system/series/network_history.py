"""The traffic of an interface, in the fixed buckets of the reference, "Network History"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import orjson
from cloudos_sdk import Database
from cloudos_sdk.capabilities import Tick
from sqlalchemy import select
from sqlmodel import Session

from cloudos_system.schemas import NetworkQuery
from cloudos_system.series.minute_buffer import MinuteBuffer
from cloudos_system.series.store import MINUTE, ROLLUP, SeriesStore
from cloudos_system.series.time_buckets import TimeWindow, network_window

RX, TX = "system.network.rx_bytes_per_sec", "system.network.tx_bytes_per_sec"
SystemReading = tuple[float, float, int]
"""A mean: the begin of the time that it is about, in seconds since 1970, its value, and of how many readings it is."""


class NetworkTraffic:
    """Short ranges come from the readings in memory, long ones from the minutes; a gap is a zero."""

    def __init__(
        self,
        db: Database,
        store: SeriesStore,
        minutes: MinuteBuffer,
        recent: Callable[[], Sequence[Tick]],
        period: float,
    ) -> None:
        self._db = db
        self._store = store
        self._minutes = minutes
        self._recent = recent
        self._period = period

    async def read(self, query: NetworkQuery, newest: float) -> bytes:
        """Return the JSON of the answer; `newest` is the begin of the time that the last reading is about."""
        buckets = network_window(query.range, newest)
        labels = (("interface", query.interface),)
        received = await self._column((RX, labels), buckets)
        sent = await self._column((TX, labels), buckets)
        points = [
            {"ts": ts, "rx_bytes_per_sec": round(rx), "tx_bytes_per_sec": round(tx)}
            for ts, rx, tx in zip(buckets.moments(), received, sent, strict=True)
        ]
        body = {
            "interface": query.interface,
            "range": query.range,
            "bucket_seconds": buckets.step,
            "points": points,
        }
        return orjson.dumps(body, option=orjson.OPT_UTC_Z)

    async def _column(self, key: tuple[str, tuple[tuple[str, str], ...]], buckets: TimeWindow) -> list[float]:
        """Return the mean of each bucket."""
        waiting = [
            (float(minute.ts), minute.buckets[key].mean, minute.buckets[key].n)
            for minute in self._minutes.unwritten()
            if key in minute.buckets
        ]
        series = self._store.ids.get(key)
        written = await self._written(series, buckets) if series is not None else []
        if buckets.step >= MINUTE:
            seen = {ts for ts, _, _ in written}
            return _means([*written, *(one for one in waiting if one[0] not in seen)], buckets)
        readings = list(self._readings(key))
        return _means([*_spread(written, readings, buckets), *readings], buckets)

    async def _written(self, series: int, buckets: TimeWindow) -> list[SystemReading]:
        found = ROLLUP.c
        statement = select(found.ts, found.mean, found.n).where(
            found.step == MINUTE,
            found.series == series,
            found.ts > buckets.start - MINUTE,
            found.ts < buckets.end,
        )

        def read(session: Session) -> list[SystemReading]:
            return [(ts, mean, n) for ts, mean, n in session.connection().execute(statement)]

        return await self._db.read(read)

    def _readings(self, key: tuple[str, tuple[tuple[str, str], ...]]) -> Iterable[SystemReading]:
        for tick in self._recent():
            for sample in tick.samples:
                if (sample.name, sample.labels) == key:
                    yield tick.time.timestamp() - self._period, sample.value, 1


def _spread(
    minutes: Iterable[SystemReading], readings: Sequence[SystemReading], buckets: TimeWindow
) -> Iterable[SystemReading]:
    """Yield the mean of a minute for each bucket of it that lies before the readings in memory begin."""
    begun = readings[0][0] if readings else float("inf")
    for ts, mean, n in minutes:
        own = sum(ts <= moment < ts + MINUTE for moment, _, _ in readings)
        if n <= own:
            continue  # it is made of these readings alone
        for start in range(int(ts), int(ts) + MINUTE, buckets.step):
            if start + buckets.step <= begun:
                yield start, mean, 1


def _means(readings: Iterable[SystemReading], buckets: TimeWindow) -> list[float]:
    totals, counts = [0.0] * buckets.count, [0] * buckets.count
    for ts, value, n in readings:
        place = int(ts - buckets.start) // buckets.step
        if ts >= buckets.start and place < buckets.count:
            totals[place] += value * n
            counts[place] += n
    return [total / n if n else 0.0 for total, n in zip(totals, counts, strict=True)]
