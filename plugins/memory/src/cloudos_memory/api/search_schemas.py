"""The answers of search and embedding endpoints."""

from __future__ import annotations

from pydantic import BaseModel


class EmbedStats(BaseModel):
    """How the embedding of the caller's notes goes."""

    queue_size: int
    total: int
    total_with_embedding: int
    backend_name: str
    backend_dim: int
    enabled: bool


class Reindexed(BaseModel):
    """The number of queued notes, and whether an embedding backend is available."""

    enqueued: int
    enabled: bool


class Totals(BaseModel):
    """Totals of notes, tags and links."""

    memories: int
    links: int
    namespaces: int
    tags: int
    by_namespace: dict[str, int]
    by_source: dict[str, int]


class TagCount(BaseModel):
    """How many notes have a tag."""

    tag: str
    count: int


class ClientCount(BaseModel):
    """How many notes a client wrote."""

    client: str
    count: int


class CoverageDay(BaseModel):
    """How many notes there were on a day (UTC) and how many of them had vectors; `coverage` is the share."""

    date: str
    total: int
    with_embedding: int
    coverage: float


class AnalyticsOut(BaseModel):
    """The caller's memories in numbers; the last day of `embedding_coverage` is today, as it is now."""

    totals: Totals
    top_tags: list[TagCount]
    top_clients: list[ClientCount]
    embedding_coverage: list[CoverageDay]
