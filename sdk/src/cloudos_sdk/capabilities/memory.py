"""Hybrid search over memories, by words and by meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cloudos_sdk.capabilities.notes import Note, NoteFilter


@dataclass(frozen=True, slots=True)
class Recalled:
    """A note that was found: why (`text`, `meaning`, `link`), its score, and the parts of the score."""

    note: Note
    score: float
    matched: tuple[str, ...]
    scores: Mapping[str, float]
    snippet: str


class Recall(Protocol):
    """Hybrid search over notes; by words alone if no embedding backend is available."""

    async def search(self, query: str, wanted: NoteFilter, limit: int) -> Sequence[Recalled]:
        """Return the best matches, best first. Never waits for an embedding backend that is down."""
        ...
