"""A node with notes and memory, whose embedding backend is a loopback server that a test can stop, slow and change."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cloudos_memory.search.vector.service import VectorSearch
from cloudos_memory.search.vector.store import EmbeddingStore
from cloudos_sdk.capabilities import NoteDraft, NoteFilter, NoteStore, Recall

OWNER = "usr_admin"
ALL = NoteFilter(owner=OWNER)


class SearchNode:
    """A running host and what a test does with its memory."""

    def __init__(self, host: Any) -> None:
        self.host = host

    @property
    def store(self) -> NoteStore:
        """The notes."""
        found: NoteStore = self.host.ctx("memory").use(NoteStore)
        return found

    async def write(self, content: str, **draft: Any) -> Any:
        """Write a note of the admin."""
        return await self.store.create(OWNER, NoteDraft(content=content, **draft))

    async def search(self, query: str, wanted: NoteFilter = ALL, limit: int = 10) -> list[Any]:
        """Search, as the admin."""
        return list(await self.host.ctx("memory").use(Recall).search(query, wanted, limit))

    async def titles(self, query: str, wanted: NoteFilter = ALL) -> list[str]:
        """Search and return the titles."""
        return [hit.note.title for hit in await self.search(query, wanted)]

    async def stats(self, client: Any = None) -> dict[str, Any]:
        """Return the embed-stats."""
        answer = await (client or self.host.admin).get("/api/mcp/memory/embed-stats")
        assert answer.status_code == 200
        return dict(await answer.get_json())

    async def until(self, true: Any, seconds: float = 15.0) -> None:
        """Wait until a coroutine function returns something true."""
        end = time.monotonic() + seconds
        while not (value := await true()):
            assert time.monotonic() < end, f"it did not come to be: {value!r}, {await self.stats()}"
            await asyncio.sleep(0.02)

    async def embedded(self) -> dict[str, Any]:
        """Wait until every note is embedded and searched; return the embed-stats."""

        async def empty() -> bool:
            stats = await self.stats()
            searched = len(self.host.ctx("memory").use(VectorSearch))
            return bool(stats["queue_size"] == 0 and stats["total"] == stats["total_with_embedding"] == searched)

        await self.until(empty)
        return await self.stats()

    async def models(self) -> dict[str, int]:
        """Return the models that there are vectors of, and their dimensions."""
        return dict(await EmbeddingStore(self.host.ctx("memory")).models())
