"""Keeps vectors in step with notes: events, the nightly sweep, and `reindex`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

from cloudos_sdk import Context, DatabaseUnavailable, Envelope
from cloudos_sdk.capabilities import Note, NoteStore

from cloudos_memory.search.indexing.chunks import text_hash
from cloudos_memory.search.indexing.worker import IndexWorker
from cloudos_memory.search.vector.filters import attributes_of
from cloudos_memory.search.vector.service import VectorSearch
from cloudos_memory.search.vector.store import EmbeddingStore

EVENTS = ("note.created", "note.updated", "note.restored", "note.deleted")
_PAGE = 500


class NoteEvents:
    """Keeps queue and index in step with the notes."""

    def __init__(
        self, ctx: Context, embeddings: EmbeddingStore, vectors: VectorSearch, indexer: IndexWorker | None
    ) -> None:
        self._ctx = ctx
        self._embeddings = embeddings
        self._vectors = vectors
        self._indexer = indexer

    @property
    def enabled(self) -> bool:
        """Whether anything embeds."""
        return self._indexer is not None

    async def catch_up(self) -> None:
        """Sweep once in the background after a start, for events missed while stopped."""
        try:
            await self.sweep()
        except DatabaseUnavailable:  # it is begun again
            raise
        except Exception as error:  # noqa: BLE001 - the nightly sweep is another chance
            self._ctx.log.warning("the notes could not be looked through", error=str(error))

    async def handle(self, events: Sequence[Envelope]) -> None:
        """Follow events, of which only the last of each note counts. Done twice it does no harm."""
        last = {event.resource: event for event in events}
        gone = [note_id for note_id, event in last.items() if event.type == "note.deleted"]
        new = [(id, str(event.data["owner"])) for id, event in last.items() if event.type == "note.created"]
        changed: dict[str, list[str]] = defaultdict(list)
        for note_id, event in last.items():
            if event.type in ("note.updated", "note.restored"):
                changed[str(event.data["owner"])].append(note_id)
        await self._forget(gone)
        await self._enqueue(new)
        for owner, note_ids in changed.items():
            await self._changed(owner, note_ids)

    async def reindex(self, owner: str) -> int:
        """Queue every note of an owner for embedding; return the count."""
        found = 0
        async for notes in self._pages():
            mine = [(note.id, owner) for note in notes if note.owner == owner]
            found += len(mine)
            await self._enqueue(mine, forced=True)
        return found

    async def sweep(self) -> dict[str, int]:
        """Queue missed notes, delete vectors of deleted notes, and count the notes of each owner."""
        totals: dict[str, int] = {}
        reached = ""
        async for notes in self._pages():
            for note in notes:
                totals[note.owner] = totals.get(note.owner, 0) + 1
            await self._enqueue(await self._unknown(notes, await self._embeddings.known([n.id for n in notes])))
            there = {note.id for note in notes}
            between = await self._embeddings.between(reached, notes[-1].id)
            await self._forget([note_id for note_id in between if note_id not in there])
            reached = notes[-1].id
        return totals

    async def _pages(self) -> AsyncIterator[Sequence[Note]]:
        store, after = self._ctx.use(NoteStore), ""
        while notes := await store.scan(after, _PAGE):
            yield notes
            after = notes[-1].id

    async def _changed(self, owner: str, note_ids: Sequence[str]) -> None:
        """Handle note changes; an unchanged text only updates the filter attributes."""
        notes = await self._ctx.use(NoteStore).get_many(owner, note_ids)
        await self._forget([note_id for note_id in note_ids if note_id not in notes])
        known = await self._embeddings.known(list(notes))
        attributes = {note_id: attributes_of(note) for note_id, note in notes.items() if note_id in known}
        await self._embeddings.describe(attributes)
        await self._vectors.describe(attributes)
        await self._enqueue(await self._unknown(list(notes.values()), known))

    async def _unknown(self, notes: Sequence[Note], known: Mapping[str, tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those of the notes, as (id, owner), whose text is not the one that is embedded."""

        def look() -> list[tuple[str, str]]:
            hashes = ((note, text_hash(note.title, note.content)) for note in notes)
            return [(note.id, note.owner) for note, hash in hashes if known.get(note.id, ("",))[0] != hash]

        return await asyncio.to_thread(look)

    async def _enqueue(self, notes: list[tuple[str, str]], *, forced: bool = False) -> None:
        if self._indexer is not None and notes:
            await self._embeddings.enqueue(notes, forced=forced)
            self._indexer.wake()

    async def _forget(self, note_ids: list[str]) -> None:
        if note_ids:
            await self._embeddings.forget(note_ids)
            await self._vectors.remove(note_ids)
