"""The minutes of hours that are over: they change no more, so that each hour of a series is read once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence

from cloudos_system.series.time_buckets import HOUR, MINUTE, TimeWindow

Row = tuple[int, int, float, float, float]
"""Series, begin, low, high and mean of a bucket."""

Column = list[float | None]
Columns = tuple[Column, Column, Column]
"""Low, high and mean of each bucket of a window; None where there is none."""

Load = Callable[[TimeWindow, Collection[int]], Sequence[Row]]
"""Read the rows of some series in a window, ordered by series and time."""

_MOST = 2000  # hours of series, of which each takes 6 KB
_MINUTES = HOUR // MINUTE


class HourCache:
    """Hours that were asked for lately, by series and begin."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], Sequence[Sequence[float | None]]] = {}

    def read(self, load: Load, ids: Collection[int], buckets: TimeWindow, settled: float) -> Mapping[int, Columns]:
        """Return the minutes of series; those before `settled` (seconds since 1970) are final."""
        first = buckets.start - buckets.start % HOUR
        over = max(first, int(settled - settled % HOUR))
        hours = range(first, over, HOUR)
        kept = {id: [self._kept.get((id, hour)) for hour in hours] for id in ids}
        whole = {id: [piece for piece in pieces if piece is not None] for id, pieces in kept.items()}
        pieces = whole | self._keep(load, [id for id in ids if len(whole[id]) < len(hours)], hours)
        rest = TimeWindow(MINUTE, MINUTE, over, (buckets.end - over) // MINUTE)
        rows = load(rest, ids)
        skip = (buckets.start - first) // MINUTE
        found = {}
        for id in ids:
            columns = in_columns(rows, id, rest)
            for at, column in enumerate(columns):
                column[:0] = [value for piece in pieces[id] for value in piece[at]]
                del column[:skip]
            found[id] = columns
        return found

    def _keep(
        self, load: Load, ids: Collection[int], hours: range
    ) -> dict[int, list[Sequence[Sequence[float | None]]]]:
        """Read hours of series, and keep them."""
        whole = TimeWindow(MINUTE, MINUTE, hours.start, (hours.stop - hours.start) // MINUTE)
        rows = load(whole, ids) if ids and hours else []
        more = len(ids) * len(hours)
        if len(self._kept) + more > _MOST:
            self._kept.clear()
        pieces: dict[int, list[Sequence[Sequence[float | None]]]] = {}
        for id in ids:
            columns = in_columns(rows, id, whole)
            pieces[id] = [[column[at : at + _MINUTES] for column in columns] for at in range(0, whole.count, _MINUTES)]
            if more <= _MOST:  # what is asked of all series at once is not kept
                self._kept.update(zip(((id, hour) for hour in hours), pieces[id], strict=True))
        return pieces


def in_columns(rows: Sequence[Row], series: int | None, buckets: TimeWindow) -> Columns:
    """Return minimum, maximum and mean of one series; None without a bucket."""
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


def _empty(buckets: TimeWindow) -> Column:
    return [None] * buckets.count
