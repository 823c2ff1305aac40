"""Filter attributes and results of the vector index. Imports nothing heavy."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from cloudos_sdk.capabilities import Note

_LONGEST_TAG = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """The filter attributes of a note."""

    owner: str
    namespace: str
    source: str
    client: str | None
    tags: tuple[str, ...]
    importance: float
    archived: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A note near the query: the similarity of its nearest piece, and which piece that is."""

    note_id: str
    similarity: float
    piece: int


def attributes_of(note: Note) -> Attributes:
    """Return the filter attributes of a note."""
    return Attributes(
        owner=note.owner,
        namespace=note.namespace,
        source=note.source,
        client=note.client,
        tags=note.tags,
        importance=note.importance,
        archived=note.archived,
        created_at=note.created_at,
    )


def folded(tag: str) -> str:
    """Return a tag as it is compared: without `#`, in one form of each character, whatever its case."""
    return unicodedata.normalize("NFC", tag.strip().lstrip("#")[:_LONGEST_TAG]).casefold()
