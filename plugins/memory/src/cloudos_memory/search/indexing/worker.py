"""The queue at work: notes are embedded in batches, in order of arrival, whatever stops in between.

Events of notes put into the queue; it is emptied by one task. What is in the queue is done again after a kill, since a
note leaves it in the transaction that stores its vectors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

from cloudos_sdk import Context, DatabaseUnavailable
from cloudos_sdk.capabilities import Note, NoteStore
from sqlalchemy.exc import SQLAlchemyError

from cloudos_memory.embedding import Backend, BackendDown, Matrix, TextRefused
from cloudos_memory.search.indexing.chunks import pieces_of, text_hash
from cloudos_memory.search.vector.filters import Attributes, attributes_of
from cloudos_memory.search.vector.service import VectorSearch
from cloudos_memory.search.vector.store import EmbeddingStore, QueuedNote, StoredVectors

_BATCH = 128
_PIECES = 64  # embedded at a time: what a kill makes to be done again
_LONGEST_PAUSE = 60.0


class IndexWorker:
    """Empties the queue with one backend."""

    def __init__(self, ctx: Context, backend: Backend, embeddings: EmbeddingStore, vectors: VectorSearch) -> None:
        self._ctx = ctx
        self._backend = backend
        self._embeddings = embeddings
        self._vectors = vectors
        self._wake = asyncio.Event()
        self.trouble = ""

    def wake(self) -> None:
        """Look into the queue now."""
        self._wake.set()

    async def run(self) -> None:
        """Load the vectors, then process the queue whenever it is not empty."""
        pause, loaded = 0.0, False
        while True:
            try:
                if not loaded:
                    await self._load()
                    loaded = True
                self._wake.clear()
                waiting = await self._embeddings.next(_BATCH)
                if not waiting:
                    await self._idle(await self._embeddings.next_due())
                    continue
                await self._work(waiting)
                pause, self.trouble = 0.0, ""
            except Exception as error:  # noqa: BLE001 - whatever it is, the queue is not to stand still for good
                expected = isinstance(error, (BackendDown, SQLAlchemyError, DatabaseUnavailable))
                if not self.trouble:
                    self._ctx.log.warning("embedding pauses", reason=str(error) if expected else repr(error))
                trouble = str(error) if expected else "it failed in a way that was not foreseen; the log says how"
                pause, self.trouble = min(_LONGEST_PAUSE, pause * 2 or 1.0), trouble
                await self._ctx.clock.sleep(pause)

    async def _load(self) -> None:
        """Load the vectors of this backend; queue notes embedded by another."""
        mine = f"{self._backend.name}/{self._backend.model}/"
        for model, dimension in (await self._embeddings.models()).items():
            if model.startswith(mine):
                await self._open(model, dimension)
                with contextlib.suppress(BackendDown, TextRefused):  # so that the first search need not wait for it
                    await self._backend.embed_query("warm", lambda row: None)
                return

    async def _open(self, model: str, dimension: int) -> None:
        await self._vectors.open(model, dimension)
        anew = await self._embeddings.enqueue_other_models(model)
        if anew:
            self._ctx.log.info("notes are embedded anew", model=model, notes=anew)

    async def _idle(self, due: datetime | None) -> None:
        waits: list[asyncio.Future[Any]] = [asyncio.create_task(self._wake.wait())]
        if due is not None:
            seconds = max(0.1, (due - self._ctx.clock.now()).total_seconds())
            waits.append(asyncio.ensure_future(self._ctx.clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _work(self, waiting: Sequence[QueuedNote]) -> None:
        notes = await self._notes(waiting)
        if notes is None:  # the notes are away: nothing is lost, they come back with an event or the next sweep
            raise BackendDown("Nothing provides the notes now.")
        known = await self._embeddings.known([item.note_id for item in waiting])
        done: list[QueuedNote] = []
        same: dict[str, Attributes] = {}  # embedded, but maybe as it was before its last change
        to_embed: list[tuple[QueuedNote, Note]] = []
        for item in waiting:
            note = notes.get(item.note_id)
            if note is None:
                done.append(item)
            elif not item.forced and self._is_known(note, known):
                done.append(item)
                same[note.id] = attributes_of(note)
            else:
                to_embed.append((item, note))
        await self._embeddings.describe(same)
        await self._vectors.describe(same)
        if done:
            await self._embeddings.finish(done, [])
        await self._embed(to_embed)

    def _is_known(self, note: Note, known: Mapping[str, tuple[str, str]]) -> bool:
        return known.get(note.id) == (text_hash(note.title, note.content), self._vectors.model)

    async def _notes(self, waiting: Sequence[QueuedNote]) -> dict[str, Note] | None:
        store = self._ctx.find(NoteStore)
        if store is None:
            return None
        by_owner: dict[str, list[str]] = defaultdict(list)
        for item in waiting:
            by_owner[item.owner].append(item.note_id)
        notes: dict[str, Note] = {}
        for owner, ids in by_owner.items():
            notes.update(await store.get_many(owner, ids))
        return notes

    async def _embed(self, left: list[tuple[QueuedNote, Note]]) -> None:
        """Embed notes part by part, and store each part while the next one is embedded."""
        storing: asyncio.Task[None] | None = None
        try:
            while left:
                part, pieces = await asyncio.to_thread(_of_some_pieces, left)
                rows = await self._rows(part, pieces)
                if storing is not None:
                    await storing
                storing = asyncio.create_task(self._store(rows), name="memory:store-vectors")
        finally:
            if storing is not None:
                await storing

    async def _rows(
        self, part: Sequence[tuple[QueuedNote, Note]], pieces: Sequence[Sequence[str]]
    ) -> list[tuple[QueuedNote, Note, Matrix]]:
        """Return the vectors of each note; of a part that is refused those of the notes that are not to blame."""
        try:
            rows = await self._backend.embed([piece for of_note in pieces for piece in of_note])
        except TextRefused as error:
            if len(part) == 1:
                if not await self._embeddings.postpone(part[0][0]):
                    self._ctx.log.warning("a note cannot be embedded", note=part[0][1].id, reason=str(error))
                return []
            alone = [await self._rows([item], [of_note]) for item, of_note in zip(part, pieces, strict=True)]
            return [row for found in alone for row in found]
        ends = list(accumulate(map(len, pieces)))
        return [(*item, rows[end - len(of_note) : end]) for item, of_note, end in zip(part, pieces, ends, strict=True)]

    async def _store(self, embedded: Sequence[tuple[QueuedNote, Note, Matrix]]) -> None:
        if not embedded:
            return
        dimension = int(embedded[0][2].shape[1])
        model = f"{self._backend.name}/{self._backend.model}/{dimension}"
        if model != self._vectors.model:
            await self._open(model, dimension)
        stored = await asyncio.to_thread(_packed, embedded, model)
        there = await self._embeddings.finish([item for item, *_ in embedded], stored)
        await self._vectors.put([item for item in stored if item.note_id in there])


def _of_some_pieces(left: list[tuple[QueuedNote, Note]]) -> tuple[list[tuple[QueuedNote, Note]], list[list[str]]]:
    """Take notes from the beginning of `left` until there are enough pieces; return them and their pieces."""
    part: list[tuple[QueuedNote, Note]] = []
    pieces: list[list[str]] = []
    while left and sum(map(len, pieces)) < _PIECES:
        item = left.pop(0)
        part.append(item)
        pieces.append(pieces_of(item[1].title, item[1].content))
    return part, pieces


def _packed(embedded: Sequence[tuple[QueuedNote, Note, Matrix]], model: str) -> list[StoredVectors]:
    from cloudos_memory.search.vector.codec import pack, quantise

    stored = []
    for _, note, rows in embedded:
        scales, codes = quantise(rows)
        stored.append(
            StoredVectors(
                note_id=note.id,
                attributes=attributes_of(note),
                model=model,
                dimension=codes.shape[1],
                text_hash=text_hash(note.title, note.content),
                pieces=len(codes),
                vectors=pack(scales, codes),
            )
        )
    return stored
