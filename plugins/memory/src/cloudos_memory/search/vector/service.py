"""The index of meaning at work: filled from the database at start, by a thread of its own, never in the loop's way.

A lock holds it for whoever uses it: the thread that fills it, and those that search.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from cloudos_sdk.capabilities import NoteFilter

from cloudos_memory.search.vector.filters import Attributes, Neighbor
from cloudos_memory.search.vector.store import EmbeddingStore, StoredVectors

if TYPE_CHECKING:
    from cloudos_memory.embedding import Matrix
    from cloudos_memory.search.vector.index import VectorIndex

T = TypeVar("T")


class VectorSearch:
    """Searches the vectors of one model; while loading, those loaded so far."""

    def __init__(self, embeddings: EmbeddingStore) -> None:
        self._embeddings = embeddings
        self._thread = ThreadPoolExecutor(1, "vectors")
        self._lock = threading.Lock()
        self._index: VectorIndex | None = None
        self._removed: set[str] = set()
        self.model: str | None = None
        self.dimension = 0

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    async def open(self, model: str, dimension: int) -> None:
        """Search the vectors of this model from now on, and load those that are stored."""
        self.model, self.dimension = model, dimension
        self._index = await self._run(_new_index, dimension)
        index, self._removed, after = self._index, set(), ""
        while page := await self._embeddings.page(after, model):
            if self._index is not index:  # another model was opened
                return
            after = page[-1].note_id
            fresh = [item for item in page if item.dimension == dimension and item.note_id not in self._removed]
            await self._run(_put, index, fresh, False)

    async def put(self, stored: Sequence[StoredVectors]) -> None:
        """Add or replace notes."""
        if self._index is not None:
            self._removed -= {item.note_id for item in stored}
            await self._run(_put, self._index, stored, True)

    async def describe(self, described: Mapping[str, Attributes]) -> None:
        """Change the attributes of notes."""
        if self._index is not None and described:
            await self._run(_describe, self._index, described)

    async def remove(self, note_ids: Sequence[str]) -> None:
        """Take notes out."""
        self._removed.update(note_ids)
        if self._index is not None:
            await self._run(_remove, self._index, note_ids)

    def search(self, query: Matrix, wanted: NoteFilter, limit: int, floor: float) -> Sequence[Neighbor]:
        """Return the nearest notes; empty for another dimension. Blocks; call it in a thread."""
        index = self._index
        if index is None or query.shape[-1] != index.dimension:
            return []
        with self._lock:
            return index.search(query, wanted, limit, floor)

    async def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, fn: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._locked, fn, *arguments)

    def _locked(self, fn: Callable[..., T], *arguments: object) -> T:
        with self._lock:
            return fn(*arguments)


def _new_index(dimension: int) -> VectorIndex:
    from cloudos_memory.search.vector.index import VectorIndex

    return VectorIndex(dimension)


def _put(index: VectorIndex, stored: Sequence[StoredVectors], replace: bool) -> None:
    from cloudos_memory.search.vector.codec import unpack

    for item in stored:
        if replace or item.note_id not in index:
            index.put(item.note_id, item.attributes, *unpack(item.vectors, item.dimension))


def _remove(index: VectorIndex, note_ids: Sequence[str]) -> None:
    for note_id in note_ids:
        index.remove(note_id)


def _describe(index: VectorIndex, described: Mapping[str, Attributes]) -> None:
    for note_id, attributes in described.items():
        index.describe(note_id, attributes)
