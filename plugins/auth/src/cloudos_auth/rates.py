"""Rate limits by key."""

from __future__ import annotations

import math
from collections import deque

from cloudos_sdk import Clock, TooManyRequests


class RateLimit:
    """Admits so many in so many seconds for each key."""

    def __init__(self, clock: Clock, limit: int, seconds: float) -> None:
        self._clock = clock
        self._limit = limit
        self._seconds = seconds
        self._times: dict[str, deque[float]] = {}

    def hit(self, key: str) -> None:
        """Count one hit. Raises TooManyRequests over the limit."""
        now = self._clock.monotonic()
        self._forget(now)
        times = self._times.pop(key, None) or deque(maxlen=self._limit)
        self._times[key] = times  # behind the others
        if len(times) == self._limit and times[0] > now - self._seconds:
            wait = math.ceil(times[0] + self._seconds - now)
            raise TooManyRequests("Too many requests; wait a little.", retry_after=wait)
        times.append(now)

    def _forget(self, now: float) -> None:
        while self._times:
            key, times = next(iter(self._times.items()))
            if times[-1] > now - self._seconds:
                return
            del self._times[key]
