"""Hybrid search: full text and vectors, fused, boosted by importance, recency and links."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from cloudos_sdk import Context
from cloudos_sdk.capabilities import Note, NoteFilter, NoteStore, Recalled, TextHit

from cloudos_memory.search.indexing.chunks import pieces_of
from cloudos_memory.search.query_embedder import QueryEmbedder
from cloudos_memory.search.ranking import follow_links, fuse, score, strong
from cloudos_memory.search.vector.filters import Neighbor, folded
from cloudos_memory.search.vector.service import VectorSearch

_FOUND = 25  # of each kind, or twice what is asked for: more finds no more, and each costs a snippet and a note
_SNIPPET = 240


class HybridRecall:
    """Capability `Recall`."""

    def __init__(self, ctx: Context, vectors: VectorSearch, queries: QueryEmbedder | None, floor: float) -> None:
        self._ctx = ctx
        self._vectors = vectors
        self._queries = queries
        self._floor = floor

    async def search(self, query: str, wanted: NoteFilter, limit: int) -> Sequence[Recalled]:
        """Return the best matches, best first."""
        notes_of = self._ctx.use(NoteStore)
        most = max(_FOUND, 2 * limit)
        nears, texts = await asyncio.gather(self._nearest(query, wanted, most), self._worded(query, wanted, most))
        notes = {hit.id: hit.note for hit in texts}
        matches = fuse([(hit.id, hit.score) for hit in texts], [(near.note_id, near.similarity) for near in nears])
        if not matches or limit <= 0:
            return []
        strengths = strong(matches)
        missing = [note_id for note_id in matches if note_id not in notes]
        links, more = await notes_of.linked(wanted.owner, list(strengths), missing)
        follow_links(matches, strengths, links)
        notes |= {note_id: note for note_id, note in more.items() if note_id in matches}
        now = self._ctx.clock.now()
        ranked = sorted(
            ((*score(matches[note.id], note, now), note) for note in notes.values() if fits(note, wanted)),
            key=lambda item: (-item[0], item[2].id),
        )[:limit]
        by_text, by_meaning = {hit.id: hit for hit in texts}, {near.note_id: near for near in nears}
        return [
            Recalled(
                note=note,
                score=round(points, 6),
                matched=tuple(matches[note.id].matched),
                scores={name: round(part, 4) for name, part in parts.items()},
                snippet=_snippet(note, by_text.get(note.id), by_meaning.get(note.id)),
            )
            for points, parts, note in ranked
        ]

    async def _worded(self, query: str, wanted: NoteFilter, limit: int) -> Sequence[TextHit]:
        await asyncio.sleep(0)  # the query is on its way to be embedded first: that takes longer
        return await self._ctx.use(NoteStore).search_text(query, wanted, limit)

    async def _nearest(self, query: str, wanted: NoteFilter, limit: int) -> Sequence[Neighbor]:
        if self._queries is None or not query.strip() or len(self._vectors) == 0:
            return []
        find = partial(self._vectors.search, wanted=wanted, limit=limit, floor=self._floor)
        return await self._queries.search(query, find) or []


def fits(note: Note, wanted: NoteFilter) -> bool:
    """Return whether a note passes a filter; checked again because the index may be slightly stale."""
    tags = {folded(tag) for tag in note.tags} if wanted.tags else set()
    return (
        note.owner == wanted.owner
        and (wanted.namespaces is None or note.namespace in wanted.namespaces)
        and (wanted.sources is None or note.source in wanted.sources)
        and (wanted.clients is None or note.client in wanted.clients)
        and all(folded(tag) in tags for tag in wanted.tags)
        and (wanted.since is None or note.created_at >= wanted.since)
        and (wanted.until is None or note.created_at < wanted.until)
        and note.importance >= wanted.min_importance
        and (wanted.archived or not note.archived)
    )


def _snippet(note: Note, text: TextHit | None, near: Neighbor | None) -> str:
    """Return a snippet: the matched words, else the nearest chunk, else the beginning."""
    if text is not None and text.snippet:
        return text.snippet
    passage = note.content
    if near is not None:
        pieces = pieces_of(note.title, note.content)
        passage = pieces[min(near.piece, len(pieces) - 1)].removeprefix(note.title).strip() or passage
    flat = " ".join(passage.split())
    return flat if len(flat) <= _SNIPPET else flat[:_SNIPPET].rsplit(" ", 1)[0] + "…"
