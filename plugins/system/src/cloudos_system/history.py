"""The history of series: the same buckets for all of them, as columns."""

from __future__ import annotations

import asyncio
import difflib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import orjson
from cloudos_sdk import Database, InvalidRequest
from cloudos_sdk.capabilities import Metric
from sqlalchemy import Select, func, select
from sqlmodel import Session

from cloudos_system.minutes import Minutes
from cloudos_system.schemas import HistoryQuery
from cloudos_system.series_store import ROLLUP, Key, Minute, SeriesStore
from cloudos_system.windows import Window, window

_OWN = "system."
_ANSWERS = 8  # kept at once: one of many series is a megabyte
Row = tuple[int, int, float, float, float]
Column = list[float | None]


class MetricHistory:
    """Answers from the roll-ups; a minute that is not written yet is taken from memory."""

    def __init__(self, db: Database, store: SeriesStore, minutes: Minutes) -> None:
        self._db = db
        self._store = store
        self._minutes = minutes
        self._answers: dict[tuple[object, ...], asyncio.Task[bytes]] = {}
        self._newest = 0.0

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

        def answer(session: Session) -> bytes:
            rows = _rows(session, _statement(buckets, sorted(ids.values()))) if ids else []
            series = []
            for key in keys:
                columns = _columns(rows, ids.get(key), buckets)
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
    """Tell whether a metric is one of those wanted, by name or by group (`system.network.*`)."""
    return any(name == one or (one.endswith(".*") and name.startswith(one[:-1])) for one in wanted)


def check_names(wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raise InvalidRequest, with the nearest names, for a metric or group that there is not."""
    for one in wanted:
        if not any(matches(name, [one]) for name in names):
            near = difflib.get_close_matches(one, names, n=3, cutoff=0.5)
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


def _statement(buckets: Window, ids: Sequence[int]) -> Select[Any]:
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


def _rows(session: Session, statement: Select[Any]) -> list[Row]:
    """Return plain tuples of the driver: SQLAlchemy's rows cost as much again, and there are tens of thousands."""
    cursor: Any = session.connection().execute(statement).cursor
    rows: list[Row] = cursor.fetchall()
    return rows


def _columns(rows: Sequence[Row], series: int | None, buckets: Window) -> tuple[Column, Column, Column]:
    """Return low, high and mean of one series, None where there is no bucket."""
    part = [] if series is None else rows[bisect_left(rows, (series,)) : bisect_left(rows, (series + 1,))]
    if not part:
        return _empty(buckets), _empty(buckets), _empty(buckets)
    before = (part[0][1] - buckets.start) // buckets.step
    after = (buckets.end - part[-1][1]) // buckets.step - 1
    if before + len(part) + after == buckets.count:  # without gaps: no work for each bucket
        _, _, low, high, mean = zip(*part, strict=True)
        head, tail = [None] * before, [None] * after
        return [*head, *low, *tail], [*head, *high, *tail], [*head, *mean, *tail]
    columns = (_empty(buckets), _empty(buckets), _empty(buckets))
    for _, ts, *values in part:
        for column, value in zip(columns, values, strict=True):
            column[(ts - buckets.start) // buckets.step] = value
    return columns


def _empty(buckets: Window) -> Column:
    return [None] * buckets.count


def _fill(columns: Sequence[Column], key: Key, unwritten: Sequence[Minute], buckets: Window) -> None:
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
