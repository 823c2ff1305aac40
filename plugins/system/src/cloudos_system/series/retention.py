"""Removes history that is too old, unless the clock cannot be trusted."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import Clock

from cloudos_system.series.store import SeriesStore

_TRUSTED = 600.0  # seconds by which the two clocks may differ since the last look


class SeriesRetention:
    """Prunes. A wall clock that leapt ahead since the last time would make all history look old: then it waits."""

    def __init__(self, store: SeriesStore, clock: Clock, log: Any) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._seen = (clock.monotonic(), clock.now().timestamp())

    async def prune(self) -> None:
        """Delete rows older than their tier's retention."""
        before, self._seen = self._seen, (self._clock.monotonic(), self._clock.now().timestamp())
        leap = (self._seen[1] - before[1]) - (self._seen[0] - before[0])
        if abs(leap) > _TRUSTED:
            self._log.warning("the clock was set anew; no history is removed this time", seconds=round(leap))
            return
        await self._store.prune(self._seen[1])
