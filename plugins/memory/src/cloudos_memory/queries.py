"""The vector of a query, if there is one in time: a search never waits for a backend longer than it was told to."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from cloudos_sdk import Context

from cloudos_memory.embedding import Backend, BackendDown, Matrix, TextRefused

_KEPT = 1000
_AT_ONCE = 8
_LONGEST_QUERY = 1000
_LONGEST_REST = 60.0


class Queries:
    """Embeds queries; keeps the newest; leaves a backend that is down alone for a while."""

    def __init__(self, ctx: Context, backend: Backend) -> None:
        self._backend = backend
        self._clock = ctx.clock
        self._log = ctx.log
        self._limit = ctx.settings.embedding.query_milliseconds / 1000
        self._kept: OrderedDict[str, Matrix] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Matrix | None]] = {}
        self._rest = 0.0
        self._again_at = 0.0

    async def vector(self, query: str) -> Matrix | None:
        """Return the query's vector, or None where there is none within the limit."""
        query = query.strip()[:_LONGEST_QUERY]
        known = self._kept.get(query)
        if known is not None:
            self._kept.move_to_end(query)
            return known
        task = self._under_way.get(query)
        if task is None:
            if self._clock.monotonic() < self._again_at or len(self._under_way) >= _AT_ONCE:
                return None
            task = self._under_way[query] = asyncio.create_task(self._embed(query), name="embed query")
            task.add_done_callback(lambda _: self._under_way.pop(query, None))
        done, _ = await asyncio.wait({task}, timeout=self._limit)  # it goes on: the next one who asks has it
        return task.result() if done else None

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _embed(self, query: str) -> Matrix | None:
        try:
            rows: Any = await self._backend.embed([query], urgent=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the search goes on by words
            if not isinstance(error, (BackendDown, TextRefused)):
                self._log.error("a query could not be embedded", error=repr(error))
            self._rest = min(_LONGEST_REST, self._rest * 2 or 1.0)
            self._again_at = self._clock.monotonic() + self._rest
            return None
        self._rest = 0.0
        vector: Matrix = rows[0]
        self._kept[query] = vector
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return vector
