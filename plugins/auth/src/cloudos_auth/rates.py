"""How often something may happen in a while, for each of those who ask."""

from __future__ import annotations

import math
from collections import deque

from cloudos_sdk import Clock, TooManyRequests

_MOST_KEYS = 10_000


class Rate:
    """Admits so many in so many seconds for each key."""

    def __init__(self, clock: Clock, limit: int, seconds: float) -> None:
        self._clock = clock
        self._limit = limit
        self._seconds = seconds
        self._times: dict[str, deque[float]] = {}

    def hit(self, key: str) -> None:
        """Count one. Raises TooManyRequests where there were too many."""
        now = self._clock.monotonic()
        if len(self._times) >= _MOST_KEYS and key not in self._times:
            self._times = {each: times for each, times in self._times.items() if times[-1] > now - self._seconds}
        times = self._times.setdefault(key, deque(maxlen=self._limit))
        if len(times) == self._limit and times[0] > now - self._seconds:
            wait = math.ceil(times[0] + self._seconds - now)
            raise TooManyRequests("Too many requests; wait a little.", retry_after=wait)
        times.append(now)
