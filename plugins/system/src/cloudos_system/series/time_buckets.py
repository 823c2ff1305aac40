"""Which buckets a range has, and out of which step they are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cloudos_sdk import InvalidRequest

MINUTE, HOUR, DAY = 60, 3600, 86_400
RANGES = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "1y": 365 * DAY}
NETWORK_BUCKETS = {"5m": 10, "15m": 30, "1h": MINUTE, "6h": 5 * MINUTE, "24h": 15 * MINUTE}
NETWORK_RANGES = {"5m": 300, "15m": 900, "1h": HOUR, "6h": 6 * HOUR, "24h": DAY}

_STEP = re.compile(r"([1-9][0-9]{0,7})([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": MINUTE, "h": HOUR, "d": DAY}


@dataclass(frozen=True)
class TimeWindow:
    """`count` buckets of `step` seconds from `start` (seconds since 1970, a multiple of the step) on.

    `source` is the step of the roll-ups that they are made of.
    """

    source: int
    step: int
    start: int
    count: int

    @property
    def end(self) -> int:
        """Return the end of the last bucket."""
        return self.start + self.step * self.count

    def moments(self) -> list[datetime]:
        """Return the begin of each bucket."""
        return [datetime.fromtimestamp(ts, UTC) for ts in range(self.start, self.end, self.step)]


def window(range_: str, step: str | None, newest: float) -> TimeWindow:
    """Return the buckets of a range of the history; the last one holds `newest`. Raises InvalidRequest."""
    length = RANGES[range_]
    source = MINUTE if length <= DAY else HOUR if length <= 30 * DAY else DAY
    seconds = source if step is None else _seconds(step)
    if seconds % source or seconds > length:
        raise InvalidRequest.field("step", f"a multiple of {source} seconds, up to {length}, for the range {range_}")
    return _ending(newest, source, seconds, -(-length // seconds))


def network_window(range_: str, newest: float) -> TimeWindow:
    """Return the buckets of a range of the network history (reference, "Network History")."""
    step = NETWORK_BUCKETS[range_]
    return _ending(newest, min(step, MINUTE), step, NETWORK_RANGES[range_] // step)


def _ending(newest: float, source: int, step: int, count: int) -> TimeWindow:
    last = int(newest) - int(newest) % step
    return TimeWindow(source, step, last - step * (count - 1), count)


def _seconds(step: str) -> int:
    found = _STEP.fullmatch(step)
    if found is None:
        raise InvalidRequest.field("step", "seconds, or a number with s, m, h or d, such as 5m")
    return int(found[1]) * _UNITS[found[2]]
