"""The store of notes. What users write and what AI clients remember are rows of the same table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note as it is now.

    `owner` is the user's id; `source` is user, mcp or molly; `tags` are without `#`, given and inline ones
    together, sorted; `importance` is 0..1; `version` counts its changes from 1.
    """

    id: str
    owner: str
    title: str
    content: str
    tags: tuple[str, ...]
    importance: float
    archived: bool
    source: str
    namespace: str
    client: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    last_referenced_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteDraft:
    """A note to be written. Without a title the first line of the content is the title."""

    content: str
    title: str | None = None
    tags: tuple[str, ...] = ()
    importance: float = 0.5
    source: str = "user"
    namespace: str = "default"
    client: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteChange:
    """A change of a note; fields that are None stay. `tags` replaces all tags but those in the text."""

    title: str | None = None
    content: str | None = None
    tags: tuple[str, ...] | None = None
    importance: float | None = None
    archived: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteFilter:
    """Which notes of one owner. None is any; `tags` must all be there; `since` and `until` bound `created_at`."""

    owner: str
    namespaces: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    clients: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_importance: float = 0.0
    archived: bool = False
    """Whether archived notes are among them."""


@dataclass(frozen=True, slots=True)
class TextHit:
    """A note that matches a query: `score`, higher is better, and `snippet`, with the matched words in `**`."""

    note: Note
    score: float
    snippet: str

    @property
    def id(self) -> str:
        """The note's id."""
        return self.note.id


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A note that is reached over links, and over how many."""

    note: Note
    distance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStats:
    """Counts of the notes of a filter."""

    notes: int
    links: int
    by_namespace: Mapping[str, int]
    by_tag: Mapping[str, int]
    by_client: Mapping[str, int]
    by_source: Mapping[str, int]


class NoteStore(Protocol):
    """Reads and writes notes. Notes in the trash are not there for any of these but `delete`.

    Each change is one transaction with its event: `note.created`, `note.updated`, `note.deleted`, `note.restored`,
    whose `resource` is the note's id and whose data has `owner`, `namespace` and `source`. Inline `#tags` and
    `[[wikilinks]]` of the content become tags and links. A note of another owner is as one that is not there.
    """

    async def create(self, owner: str, draft: NoteDraft, *, idempotency_key: str | None = None) -> Note:
        """Write a note; with a key that this owner and client used before, return the note that it made."""
        ...

    async def get(self, owner: str, note_id: str) -> Note | None:
        """Return a note."""
        ...

    async def get_many(self, owner: str, note_ids: Collection[str]) -> Mapping[str, Note]:
        """Return the notes that exist, by id, in one query."""
        ...

    async def by_title(self, owner: str, title: str, namespaces: tuple[str, ...] | None = None) -> Sequence[Note]:
        """Return the notes of a title, whatever its case; the newest first."""
        ...

    async def update(self, owner: str, note_id: str, change: NoteChange, *, version: int | None = None) -> Note:
        """Change a note. Raises NotFound, and Conflict `stale_version` if `version` is not the newest."""
        ...

    async def delete(self, owner: str, note_id: str, *, for_good: bool = False) -> None:
        """Put a note into the trash, or remove it for good. Raises NotFound."""
        ...

    async def recent(self, wanted: NoteFilter, limit: int) -> Sequence[Note]:
        """Return the notes that were written or referenced last, newest first."""
        ...

    async def search_text(self, query: str, wanted: NoteFilter, limit: int) -> Sequence[TextHit]:
        """Return the best full-text matches (BM25 or similar), best first. Any text is a query; there is no syntax."""
        ...

    async def link(self, owner: str, source_id: str, target_id: str) -> bool:
        """Link two notes; False if they were linked already. Raises NotFound."""
        ...

    async def unlink(self, owner: str, source_id: str, target_id: str) -> bool:
        """Remove a link that `link` made; False if there was none. A link in the text goes with the text."""
        ...

    async def neighbours(self, note_id: str, wanted: NoteFilter, depth: int, limit: int) -> Sequence[Neighbour]:
        """Return the notes within `depth` links in either direction, breadth-first, nearest first, itself left out."""
        ...

    async def linked(
        self, owner: str, hits: Collection[str], note_ids: Collection[str] = ()
    ) -> tuple[Sequence[tuple[str, str]], Mapping[str, Note]]:
        """Return the links that begin or end at one of `hits`, as (source, target), and notes by id.

        The notes are those of `note_ids` and of the links' ends, read in the same snapshot.
        """
        ...

    async def stats(self, wanted: NoteFilter) -> NoteStats:
        """Count."""
        ...

    async def touch(self, note_ids: Collection[str]) -> None:
        """Note that these were referenced now. Cheap: written in batches, a loss of the last second is no harm."""
        ...

    async def scan(self, after: str, limit: int) -> Sequence[Note]:
        """Return notes of every owner by rising id, behind `after` ("" is the beginning): to index them."""
        ...
