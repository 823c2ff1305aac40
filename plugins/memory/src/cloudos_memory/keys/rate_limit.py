"""How many calls a user may make in a minute, by all keys together: the plan's limit, over a sliding window."""

from __future__ import annotations

import math
from collections import deque

_WINDOW = 60.0
_MANY = 256


class KeyRateLimit:
    """Counts calls per user in sliding windows; drops empty windows when there are many."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[float]] = {}

    def wait(self, user_id: str, limit: int | None, now: float) -> int:
        """Count a call at `now` and return 0, or return the seconds to wait if the limit is reached."""
        if limit is None:
            return 0
        if len(self._calls) >= _MANY:
            self.sweep(now)
        calls = self._calls.setdefault(user_id, deque())
        while calls and calls[0] <= now - _WINDOW:
            calls.popleft()
        if len(calls) >= limit:
            return max(1, math.ceil(calls[0] + _WINDOW - now))
        calls.append(now)
        return 0

    def sweep(self, now: float) -> None:
        """Forget the users that did not call for a whole window."""
        for user_id in [id for id, calls in self._calls.items() if not calls or calls[-1] <= now - _WINDOW]:
            del self._calls[user_id]
