"""Bodies, queries and answers of the notes endpoints (reference, "Notes graph" and "Molly memory")."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body, Page, Query
from pydantic import AfterValidator, BaseModel, Field, model_validator

SOURCES = ("user", "mcp", "molly")


def _aware(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond all calendars") from None


def _names(given: str) -> str:
    if not names(given):
        raise ValueError("names, separated by commas")
    return given


def _sources(given: str) -> str:
    unknown = set(names(given)) - set(SOURCES)
    if unknown or not names(given):
        raise ValueError(f"any of {', '.join(SOURCES)}, separated by commas")
    return given


Moment = Annotated[datetime, AfterValidator(_aware)]
Names = Annotated[str, AfterValidator(_names)]
Sources = Annotated[str, AfterValidator(_sources)]
Importance = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


def names(given: str | None) -> tuple[str, ...]:
    """Return the names of a comma-separated list."""
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


class NewNoteBody(Body):
    """A note to write. Without a title the first line of the content is the title."""

    content: str = ""
    title: str | None = None
    tags: list[str] = Field(default_factory=list)
    importance: Importance = 0.5
    namespace: str = Field(default="default", min_length=1, max_length=100)
    folder: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> NewNoteBody:
        if self.title is None and not self.content.strip():
            raise ValueError("a note has a title or a content")
        return self


class NoteChangeBody(Body):
    """A change of a note; absent fields stay. With `version`, refused unless that is the newest."""

    title: str | None = None
    content: str | None = None
    tags: list[str] | None = None
    importance: Importance | None = None
    archived: bool | None = None
    folder: str | None = None
    version: int | None = Field(default=None, ge=1)


class MetaBody(Body):
    """`{"importance": 0.75}`, `{"archived": true}` or `{"archived": false}`."""

    importance: Importance | None = None
    archived: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> MetaBody:
        if self.importance is None and self.archived is None:
            raise ValueError("give importance or archived")
        return self


class Removal(Query):
    """Whether to remove it for good instead of putting it into the trash."""

    permanent: bool = False


class NoteQuery(Page):
    """The query of a list. With `q` the best full-text matches come first, without `before` and `after`."""

    source: Sources | None = None
    namespace: Names | None = None
    client: Names | None = None
    tags: Names | None = None
    folder: str | None = None
    q: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    min_importance: Importance = 0.0
    archived: bool = False
    trash: bool = False


class GraphQuery(Query):
    """The filters of the mind map."""

    source: Sources | None = None
    namespace: Names | None = None
    client: Names | None = None
    tags: Names | None = None
    min_importance: Importance = 0.0
    include_archived: bool = False


class NoteListed(BaseModel):
    """A note in a list, with the beginning of its content or a search's snippet."""

    id: str
    title: str
    excerpt: str
    tags: list[str]
    importance: float
    archived: bool
    source: Literal["user", "mcp", "molly"]
    namespace: str
    client: str | None
    folder: str
    version: int
    created_at: UtcTime
    updated_at: UtcTime
    last_referenced_at: UtcTime | None
    deleted_at: UtcTime | None


class MemoryOut(BaseModel):
    """A note, but for its folder."""

    id: str
    title: str
    content: str
    tags: list[str]
    importance: float
    archived: bool
    source: Literal["user", "mcp", "molly"]
    namespace: str
    client: str | None
    version: int
    created_at: UtcTime
    updated_at: UtcTime
    last_referenced_at: UtcTime | None


class NoteOut(MemoryOut):
    """A note."""

    folder: str


class VersionListed(BaseModel):
    """A version of a note, in force until `replaced_at`."""

    version: int
    title: str
    folder: str
    tags: list[str]
    written_at: UtcTime
    replaced_at: UtcTime


class VersionOut(VersionListed):
    """A version of a note with its content."""

    content: str


class LinkEnd(BaseModel):
    """A note at the other end of a link; `kind` is text or manual."""

    id: str
    title: str
    kind: Literal["text", "manual"]


class Links(BaseModel):
    """The links of a note: those it has, those to it, and the titles it names that no note has."""

    out: list[LinkEnd]
    back: list[LinkEnd]
    broken: list[str]


class Counted(BaseModel):
    """A folder or tag, and how many notes are in it or have it."""

    name: str
    notes: int


class Node(BaseModel):
    """A note of the graph."""

    id: str
    title: str
    source: str
    namespace: str
    client: str | None
    importance: float
    created_at: UtcTime
    updated_at: UtcTime
    last_referenced_at: UtcTime | None


class Edge(BaseModel):
    """A link of the graph."""

    source: str
    target: str
    source_kind: str
    target_kind: str
    mixed_sources: bool


class Graph(BaseModel):
    """Notes and the links among them."""

    nodes: list[Node]
    links: list[Edge]


class ImportQuery(Query):
    """The query of an import: target folder, and whether to `update`, `skip` or `copy` a note of the same file."""

    folder: str = ""
    existing: Literal["update", "skip", "copy"] = "update"


class ImportStarted(BaseModel):
    """The operation that imports; see `/api/operations/{id}`."""

    operation_id: str


class AttachmentQuery(Query):
    """A page of attachments: those behind the path `after`."""

    limit: int = Field(default=50, ge=1, le=500)
    after: str | None = None


class AttachmentListed(BaseModel):
    """A file that was imported beside notes."""

    id: str
    path: str
    size: int
    modified_at: UtcTime


class ExportQuery(Query):
    """Which notes to export; all by default, archived ones among them."""

    folder: str | None = None
    namespace: Names | None = None
    source: Sources | None = None
    tags: Names | None = None
