"""The input and output schemas of the tools."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from cloudos_sdk import iso
from cloudos_sdk.capabilities import Note
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cloudos_memory.schemas import NAMESPACE

Named = Annotated[str, Field(min_length=1, max_length=500, description="Id of a memory, or its exact title")]
Tag = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^#?[^\s#,]+$")]
Tags = Annotated[list[Tag], Field(max_length=50)]
Importance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=100)]
Where = Annotated[
    str | None,
    Field(
        pattern=rf"{NAMESPACE}|^\*$",
        description="Namespace to read, of those that memory_namespaces lists; `*` is all of them, none the key's own",
    ),
]
IdempotentCalls = Annotated[
    str | None,
    Field(min_length=1, max_length=200, description="Name of this write: called again with it, it is not done again"),
]


class Arguments(BaseModel):
    """Base of tool arguments; unknown arguments are errors."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class CreateArguments(Arguments):
    """The arguments of a new memory."""

    content: str = Field(min_length=1, max_length=500_000, description="Markdown; [[Title]] links, #tag tags")
    title: str | None = Field(default=None, min_length=1, max_length=300, description="Without it, the first line")
    tags: Tags = []
    importance: Importance = 0.5
    idempotency_key: IdempotentCalls = None


class GetArguments(Arguments):
    """Which memory."""

    id: Named


class UpdateArguments(Arguments):
    """The arguments of a change of a memory."""

    id: Named
    title: str | None = Field(default=None, min_length=1, max_length=300)
    content: str | None = Field(default=None, min_length=1, max_length=500_000)
    tags: Tags | None = Field(default=None, description="Replaces the tags that were given")
    importance: Importance | None = None
    archived: bool | None = None
    version: int | None = Field(default=None, ge=1, description="Refuse where this is not its newest version")
    idempotency_key: IdempotentCalls = None


class DeleteArguments(Arguments):
    """Which memory, and whether it goes for good."""

    id: Named
    permanent: bool = Field(default=False, description="Remove it for good, in place of putting it into the trash")
    idempotency_key: IdempotentCalls = None


class Filters(Arguments):
    """Which memories."""

    namespace: Where = None
    tags: Tags = Field(default=[], description="All of these")
    source: list[Annotated[str, Field(pattern=r"^(user|mcp|molly)$")]] | None = Field(default=None, max_length=3)
    since: AwareDatetime | None = Field(default=None, description="Written at or after")
    until: AwareDatetime | None = Field(default=None, description="Written before")
    min_importance: Importance = 0.0
    include_archived: bool = False


class SearchArguments(Filters):
    """The arguments of a search."""

    query: str = Field(min_length=1, max_length=2000, description="Words or a question")
    limit: Limit = 10


class RecentArguments(Filters):
    """How many, and which."""

    limit: Limit = 20


class LinkArguments(Arguments):
    """The arguments of a link."""

    source: Named
    target: Named
    idempotency_key: IdempotentCalls = None


class NeighborsArguments(Arguments):
    """The arguments of a neighbor query."""

    id: Named
    depth: int = Field(default=1, ge=1, le=4, description="How many links away")
    limit: Limit = 50


class TagsArguments(Arguments):
    """Which tags."""

    namespace: Where = None
    prefix: str = Field(default="", max_length=100)
    limit: int = Field(default=100, ge=1, le=1000)


class NamespacesArguments(Arguments):
    """Nothing."""


class StatsArguments(Arguments):
    """Of which namespace."""

    namespace: Where = None


class NoteOut(BaseModel):
    """A memory."""

    id: str
    title: str
    content: str
    tags: list[str]
    importance: float
    archived: bool
    source: str
    namespace: str
    client: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    last_referenced_at: datetime | None


class Resembled(BaseModel):
    """A similar memory; `similarity` is the share of common words."""

    id: str
    title: str
    similarity: float


class CreatedOut(BaseModel):
    """A new memory."""

    memory: NoteOut
    resembles: Resembled | None = Field(description="A memory of the namespace that says nearly the same")


class MemoryOut(BaseModel):
    """One memory."""

    memory: NoteOut


class DeletedOut(BaseModel):
    """The deleted memory."""

    id: str
    permanent: bool


class SearchHit(BaseModel):
    """A memory that was found, and why."""

    id: str
    title: str
    snippet: str
    score: float
    matched: list[str]
    scores: dict[str, float]
    tags: list[str]
    importance: float
    source: str
    namespace: str
    updated_at: datetime


class SearchOut(BaseModel):
    """Search results, best first."""

    results: list[SearchHit]


class RecentOut(BaseModel):
    """Memories, newest first."""

    memories: list[NoteOut]


class LinkedOut(BaseModel):
    """A link, and whether anything changed."""

    source: str
    target: str
    changed: bool


class NeighborOut(BaseModel):
    """A memory and how many links away it is."""

    memory: NoteOut
    distance: int


class NeighborsOut(BaseModel):
    """Linked memories, nearest first."""

    neighbors: list[NeighborOut]


class Count(BaseModel):
    """A name and how often it is used."""

    name: str
    count: int


class TagsOut(BaseModel):
    """Tags, the commonest first."""

    tags: list[Count]


class NamespaceOut(BaseModel):
    """A namespace that the key reads; it writes the writable one alone."""

    name: str
    count: int
    writable: bool


class NamespacesOut(BaseModel):
    """The namespaces that the key reads."""

    namespaces: list[NamespaceOut]


class StatsOut(BaseModel):
    """Totals of notes, tags and links."""

    memories: int
    links: int
    by_namespace: dict[str, int]
    by_tag: dict[str, int]
    by_client: dict[str, int]
    by_source: dict[str, int]


def note_out(note: Note) -> dict[str, Any]:
    """Return a note as clients see it."""
    return {
        "id": note.id,
        "title": note.title,
        "content": note.content,
        "tags": list(note.tags),
        "importance": note.importance,
        "archived": note.archived,
        "source": note.source,
        "namespace": note.namespace,
        "client": note.client,
        "version": note.version,
        "created_at": iso(note.created_at),
        "updated_at": iso(note.updated_at),
        "last_referenced_at": iso(note.last_referenced_at) if note.last_referenced_at else None,
    }
