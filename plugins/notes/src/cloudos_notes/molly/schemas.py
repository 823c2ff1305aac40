"""Bodies, queries and answers of Molly's memory (reference, "Molly memory")."""

from __future__ import annotations

from cloudos_sdk.http import Body, Query
from pydantic import BaseModel, Field

from cloudos_notes.schemas import Importance, MemoryOut


class Memory(Body):
    """Something for Molly to remember. Without a title the first line is the title."""

    content: str = Field(min_length=1)
    title: str | None = None
    tags: list[str] = Field(default_factory=list)
    importance: Importance = 0.5


class Question(Body):
    """A question to recall memories for."""

    query: str = Field(min_length=1, max_length=4000)
    limit: int = Field(default=5, ge=1, le=50)


class RecalledOut(MemoryOut):
    """A memory that was found, why, and how well."""

    score: float
    matched: list[str]
    scores: dict[str, float]
    snippet: str


class RecentQuery(Query):
    """How many."""

    limit: int = Field(default=50, ge=1, le=500)


class Forgetting(Query):
    """Whether to remove it for good."""

    hard: bool = False


class Cleared(BaseModel):
    """How many memories were put into the trash."""

    deleted: int
