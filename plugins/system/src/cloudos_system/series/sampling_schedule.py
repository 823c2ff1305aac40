"""When to sample: on the monotonic clock, at whole multiples of the period on the wall clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_JUMP = 1.0  # seconds between the two clocks from which on the wall clock was set anew


class SamplingSchedule:
    """Deadlines that never drift: a late one moves none of those after it, and a missed one is left out.

    A wall clock that is set anew, forward or back, moves the grid once: the next deadline is then between a half and
    one and a half periods away.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._origin: tuple[float, float] | None = None
        self._last = 0

    def due(self, monotonic: float, wall: datetime) -> float:
        """Return the next deadline on the monotonic clock."""
        now = wall.timestamp()
        if self._origin is None or abs(self._expected(monotonic) - now) > _JUMP:
            first = math.ceil(now / self.period + 0.5) * self.period
            self._origin, self._last = (monotonic + first - now, first), -1
        self._last = max(self._last + 1, math.floor((monotonic - self._origin[0]) / self.period) + 1)
        return self._origin[0] + self._last * self.period

    def stamp(self, wall: datetime) -> datetime:
        """Return the time of the reading that is taken at the deadline: the multiple itself, unless it is off."""
        if self._origin is not None:
            planned = self._origin[1] + self._last * self.period
            if abs(planned - wall.timestamp()) <= _JUMP:
                return datetime.fromtimestamp(planned, UTC)
        return wall

    def _expected(self, monotonic: float) -> float:
        """Return the expected wall clock time."""
        assert self._origin is not None  # noqa: S101 - it is asked for after the first deadline only
        return self._origin[1] + monotonic - self._origin[0]
