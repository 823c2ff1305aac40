"""The moment of a load at which the new servers serve, and the ones before are to end."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, Self

_SAID = b'"msg":"shutdown scheduled"'
"""Caddy (2.6 and 2.11) writes it when a new document serves, and the delay of the servers before begins."""
_EVERY = 0.002


class ReloadWatch:
    """Follows Caddy's log for the line that a reload took over; if it is missing, the end of the load counts."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._left = threading.Event()

    async def __aenter__(self) -> Self:
        begin = self._log.stat().st_size if self._log.exists() else 0
        self.seen: asyncio.Task[None] = asyncio.create_task(asyncio.to_thread(self._follow, begin))
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._left.set()
        await self.seen

    def _follow(self, begin: int) -> None:
        said = b""
        while not self._left.is_set():
            if self._log.exists():
                with self._log.open("rb") as log:
                    log.seek(begin)
                    while not self._left.is_set():
                        said = said[-len(_SAID) :] + log.read()
                        if _SAID in said:
                            return
                        time.sleep(_EVERY)
            time.sleep(_EVERY)
