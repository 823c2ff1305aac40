"""Molly's memory (reference, "Molly memory"): the notes of the namespace `molly`, found again by the memory plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudos_sdk import Context, Unavailable
from cloudos_sdk.capabilities import Note, NoteDraft, NoteFilter, Recall

from cloudos_notes.molly.schemas import Memory
from cloudos_notes.storage.store import Store
from cloudos_notes.storage.tables import NoteSelection
from cloudos_notes.views.note_list import shown

NAMESPACE = "molly"


class MollyMemory:
    """Remembers and recalls for one person. Without the memory plugin it is unavailable."""

    def __init__(self, ctx: Context, store: Store) -> None:
        self._ctx = ctx
        self._store = store

    def recall(self) -> Recall:
        """Return the Recall provider. Raises Unavailable.

        Looked for anew each time: the memory plugin needs the store, so it starts after it, and may stop alone.
        """
        found = self._ctx.find(Recall)
        if found is None:
            raise Unavailable(
                "Molly has no memory here: install the plugin memory, or start it; `cloudos plugins` shows how it is.",
                code="memory_unavailable",
            )
        return found

    async def remember(self, owner: str, memory: Memory) -> Note:
        """Store a memory."""
        draft = NoteDraft(
            content=memory.content,
            title=memory.title,
            tags=tuple(memory.tags),
            importance=memory.importance,
            source="molly",
            namespace=NAMESPACE,
            client="molly",
        )
        return await self._store.create(owner, draft)

    async def find(self, owner: str, query: str, limit: int) -> Sequence[dict[str, Any]]:
        """Return what fits a question best, and note that it was asked for."""
        hits = await self.recall().search(query, _of(owner), limit)
        await self._store.touch([hit.note.id for hit in hits])
        return [
            {
                **shown(hit.note),
                "score": hit.score,
                "matched": list(hit.matched),
                "scores": dict(hit.scores),
                "snippet": hit.snippet,
            }
            for hit in hits
        ]

    async def recent(self, owner: str, limit: int) -> Sequence[dict[str, Any]]:
        """Return the memories that were written or referenced last."""
        return [shown(note) for note in await self._store.recent(_of(owner), limit)]

    async def clear(self, owner: str) -> int:
        """Put every memory into the trash, archived ones too; return how many."""
        return await self._store.trash.put_all(NoteSelection(owner=owner, namespaces=(NAMESPACE,), archived=True))

    async def forget(self, owner: str, note_id: str, *, for_good: bool) -> None:
        """Put a memory into the trash, or remove it for good, from there too. Raises NotFound."""
        await self._store.delete(owner, note_id, for_good=for_good, namespace=NAMESPACE)


def _of(owner: str) -> NoteFilter:
    return NoteFilter(owner=owner, namespaces=(NAMESPACE,))
