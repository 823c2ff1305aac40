"""One piece of work at a time on each target; what comes meanwhile waits its turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """The turns at the targets of this node."""

    def __init__(self) -> None:
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def busy(self, target_id: str) -> bool:
        """Tell whether something works on a target now."""
        return self._locks[target_id].locked()

    @asynccontextmanager
    async def turn(self, target_id: str) -> AsyncIterator[None]:
        """Wait for one's turn at a target, and have it."""
        async with self._locks[target_id]:
            yield
