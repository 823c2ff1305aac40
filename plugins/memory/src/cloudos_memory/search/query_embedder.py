"""Embeds queries within a time limit, so that a slow backend does not delay searches."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from cloudos_sdk import Context

from cloudos_memory.embedding import Backend, BackendDown, Matrix, TextRefused

_KEPT = 1000
_AT_ONCE = 8
_LONGEST_QUERY = 1000
_LONGEST_REST = 60.0

T = TypeVar("T")


class QueryEmbedder:
    """Embeds queries, caches recent ones, and skips a failed backend for a while."""

    def __init__(self, ctx: Context, backend: Backend) -> None:
        self._backend = backend
        self._clock = ctx.clock
        self._log = ctx.log
        self._limit = ctx.settings.embedding.query_milliseconds / 1000
        self._kept: OrderedDict[str, Matrix] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[tuple[Matrix, Any] | None]] = {}
        self._rest = 0.0
        self._again_at = 0.0

    async def search(self, query: str, find: Callable[[Matrix], T]) -> T | None:
        """Return `find(vector)` for a query; None if there is no vector within the limit.

        `find` is called in a thread: where the backend is in process, in the one that has just embedded.
        """
        query = query.strip()[:_LONGEST_QUERY]
        vector = self._kept.get(query)
        if vector is not None:
            self._kept.move_to_end(query)
            return await asyncio.to_thread(find, vector)
        task, first = self._under_way.get(query), False
        if task is None:
            if self._clock.monotonic() < self._again_at or len(self._under_way) >= _AT_ONCE:
                return None
            task = self._under_way[query] = asyncio.create_task(self._embed(query, find), name="embed query")
            task.add_done_callback(lambda _: self._under_way.pop(query, None))
            first = True
        done, _ = await asyncio.wait({task}, timeout=self._limit)  # it goes on: the next one who asks has it
        embedded = task.result() if done else None
        if embedded is None:
            return None
        vector, found = embedded
        return found if first else await asyncio.to_thread(find, vector)

    async def close(self) -> None:
        """Cancel running work."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _embed(self, query: str, find: Callable[[Matrix], T]) -> tuple[Matrix, T] | None:
        try:
            vector, found = await self._backend.embed_query(query, lambda row: (row, find(row)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the search goes on by words
            if not isinstance(error, (BackendDown, TextRefused)):
                self._log.error("a query could not be embedded", error=repr(error))
            self._rest = min(_LONGEST_REST, self._rest * 2 or 1.0)
            self._again_at = self._clock.monotonic() + self._rest
            return None
        self._rest = 0.0
        self._kept[query] = vector
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return vector, found
