"""The history of series: the same buckets for all of them, as columns."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from cloudos_sdk import Database, InvalidRequest
from cloudos_sdk.capabilities import Metric
from sqlalchemy import Select, func, select
from sqlmodel import Session

from cloudos_system.schemas import HistoryQuery
from cloudos_system.series.hour_cache import Column, Columns, HourCache, Row, in_columns
from cloudos_system.series.minute_buffer import MinuteBuffer
from cloudos_system.series.store import ROLLUP, Key, Minute, SeriesStore
from cloudos_system.series.time_buckets import MINUTE, TimeWindow, window

_OWN = "system."
_ANSWERS = 8  # kept at once: one of many series is a megabyte


class MetricHistory:
    """Answers from the roll-ups; a minute that is not written yet is taken from memory."""

    def __init__(self, db: Database, store: SeriesStore, minutes: MinuteBuffer) -> None:
        self._db = db
        self._store = store
        self._minutes = minutes
        self._answers: dict[tuple[object, ...], asyncio.Task[bytes]] = {}
        self._newest = 0.0
        self._hours, self._rewrites = HourCache(), store.rewrites

    async def read(self, query: HistoryQuery, metrics: Sequence[Metric], newest: float) -> bytes:
        """Return the JSON of the answer; `newest` is the time of the last reading. Raises InvalidRequest.

        Until the next reading the same question has the same answer, which is made once for all who ask.
        """
        if newest != self._newest or len(self._answers) >= _ANSWERS:
            self._newest, self._answers = newest, {}
        asked = (query.range, query.step, *query.metric, None, *query.label)
        making = self._answers.get(asked)
        if making is None:
            making = asyncio.create_task(self._make(query, metrics, newest), name="system:history")
            self._answers[asked] = making
        try:
            return await asyncio.shield(making)
        except Exception:
            self._answers.pop(asked, None)
            raise

    async def _make(self, query: HistoryQuery, metrics: Sequence[Metric], newest: float) -> bytes:
        buckets = window(query.range, query.step, newest)
        unwritten = self._minutes.unwritten()
        known = {*self._store.ids, *(key for minute in unwritten for key in minute.buckets)}
        keys = sorted(_chosen(query, known, [metric.name for metric in metrics]))
        ids = {key: self._store.ids[key] for key in keys if key in self._store.ids}
        units = {metric.name: metric.unit for metric in metrics}
        if self._rewrites != self._store.rewrites:  # what is read at this moment may still keep what was before
            self._hours, self._rewrites = HourCache(), self._store.rewrites
        hours, settled = self._hours, min([newest - MINUTE, *(minute.ts for minute in unwritten)])

        def answer(session: Session) -> bytes:
            found = _read(session, hours, sorted(ids.values()), buckets, settled)
            series = []
            for key in keys:
                columns = found[ids[key]] if key in ids else in_columns([], None, buckets)
                _fill(columns, key, unwritten, buckets)
                low, high, mean = columns
                if all(value is None for value in mean):
                    continue  # it was measured at another time
                about = {"metric": key[0], "unit": units.get(key[0], ""), "labels": dict(key[1])}
                series.append(about | {"mean": mean, "min": low, "max": high})
            body = {
                "range": query.range,
                "step_seconds": buckets.step,
                "timestamps": buckets.moments(),
                "series": series,
            }
            return orjson.dumps(body, option=orjson.OPT_UTC_Z)

        return await self._db.read(answer)


def matches(name: str, wanted: Sequence[str]) -> bool:
    """Return whether a metric matches a name or group (`system.network.*`)."""
    return any(name == one or (one.endswith(".*") and name.startswith(one[:-1])) for one in wanted)


def check_names(wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raise InvalidRequest with similar names for an unknown metric or group."""
    for one in wanted:
        if not any(matches(name, [one]) for name in names):
            near = difflib.get_close_matches(one[:100], names, n=3, cutoff=0.5)
            hint = f"; near: {', '.join(near)}" if near else ""
            raise InvalidRequest(
                f"There is no metric {one!r}{hint}.",
                code="unknown_metric",
                fields=[{"path": "metric", "message": f"there is no {one}"}],
                nearest=near,
            )


def _chosen(query: HistoryQuery, known: set[Key], declared: Sequence[str]) -> list[Key]:
    """Return the series that are asked for; without a metric those of the machine itself."""
    check_names(query.metric, sorted({*declared, *(name for name, _ in known)}))
    labels = [_label(text) for text in query.label]
    return [
        key
        for key in known
        if (matches(key[0], query.metric) if query.metric else key[0].startswith(_OWN))
        and all(label in key[1] for label in labels)
    ]


def _label(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not name or not colon:
        raise InvalidRequest.field("label", "a name and a value, such as interface:eth0")
    return name, value


def _statement(buckets: TimeWindow, ids: Collection[int]) -> Select[Any]:
    """Return the query of (series, bucket, low, high, mean), in this order."""
    found = ROLLUP.c
    within = [
        found.step == buckets.source,
        found.series.in_(ids),
        found.ts >= buckets.start,
        found.ts < buckets.end,
    ]
    if buckets.step == buckets.source:
        columns = select(found.series, found.ts, found.low, found.high, found.mean)
        return columns.where(*within).order_by(found.series, found.ts)
    start = (found.ts - found.ts % buckets.step).label("start")
    mean = func.sum(found.mean * found.n) / func.sum(found.n)
    columns = select(found.series, start, func.min(found.low), func.max(found.high), mean)
    return columns.where(*within).group_by(found.series, start).order_by(found.series, start)


def _read(
    session: Session, hours: HourCache, ids: Collection[int], buckets: TimeWindow, settled: float
) -> Mapping[int, Columns]:
    """Return the columns of series."""

    def load(part: TimeWindow, ids: Collection[int]) -> Sequence[Row]:
        return _rows(session, _statement(part, ids)) if ids else []

    if buckets.step == MINUTE:
        return hours.read(load, ids, buckets, settled)
    rows = load(buckets, ids)
    return {id: in_columns(rows, id, buckets) for id in ids}


def _rows(session: Session, statement: Select[Any]) -> list[Row]:
    """Return plain tuples of the driver: SQLAlchemy's rows cost as much again, and there are tens of thousands."""
    cursor: Any = session.connection().execute(statement).cursor
    rows: list[Row] = cursor.fetchall()
    return rows


def _fill(columns: Sequence[Column], key: Key, unwritten: Sequence[Minute], buckets: TimeWindow) -> None:
    """Put minutes that the database has not yet into buckets that it knows nothing of."""
    fresh: dict[int, list[Any]] = {}
    for minute in unwritten:
        place = (minute.ts - buckets.start) // buckets.step
        one = minute.buckets.get(key)
        if one is not None and 0 <= place < buckets.count and columns[0][place] is None:
            fresh.setdefault(place, []).append(one)
    low, high, mean = columns
    for place, ones in fresh.items():
        low[place], high[place] = min(one.low for one in ones), max(one.high for one in ones)
        mean[place] = sum(one.mean * one.n for one in ones) / sum(one.n for one in ones)
