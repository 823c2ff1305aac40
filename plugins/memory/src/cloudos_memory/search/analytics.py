"""Statistics of a user's memories, and the daily coverage rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time, timedelta
from typing import Any

from cloudos_sdk import Context, Job
from cloudos_sdk.capabilities import NoteFilter, NoteStore
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from cloudos_memory.models import Coverage
from cloudos_memory.search.indexing.note_events import NoteEvents
from cloudos_memory.search.vector.service import VectorSearch
from cloudos_memory.search.vector.store import EmbeddingStore

_COVERAGE = Coverage.__table__
_TOP = 10
_DAYS_SHOWN = 90
_DAYS_KEPT = 400


class Analytics:
    """Counts."""

    def __init__(
        self, ctx: Context, embeddings: EmbeddingStore, vectors: VectorSearch, backend_name: str | None
    ) -> None:
        self._ctx = ctx
        self._embeddings = embeddings
        self._vectors = vectors
        self._backend_name = backend_name

    async def embed_stats(self, owner: str) -> dict[str, Any]:
        """Return how the embedding goes (`GET /api/mcp/memory/embed-stats`)."""
        queue, embedded = await self._embeddings.counts(owner, self._vectors.model)
        stats = await self._ctx.use(NoteStore).stats(NoteFilter(owner=owner, archived=True))
        return {
            "queue_size": queue,
            "total": stats.notes,
            "total_with_embedding": embedded,
            "backend_name": self._backend_name or "none",
            "backend_dim": self._vectors.dimension,
            "enabled": self._backend_name is not None,
        }

    async def analytics(self, owner: str) -> dict[str, Any]:
        """Return totals, top tags, top clients and coverage over time (`GET /api/mcp/memory/analytics`)."""
        stats = await self._ctx.use(NoteStore).stats(NoteFilter(owner=owner, archived=True))
        _, embedded = await self._embeddings.counts(owner, self._vectors.model)
        today = {"date": self._today(), "total": stats.notes, "with_embedding": min(embedded, stats.notes)}
        days = [*await self._days(owner), today]
        return {
            "totals": {
                "memories": stats.notes,
                "links": stats.links,
                "namespaces": len(stats.by_namespace),
                "tags": len(stats.by_tag),
                "by_namespace": dict(stats.by_namespace),
                "by_source": dict(stats.by_source),
            },
            "top_tags": _top(stats.by_tag, "tag"),
            "top_clients": _top(stats.by_client, "client"),
            "embedding_coverage": [{**day, "coverage": _share(day["with_embedding"], day["total"])} for day in days],
        }

    async def record(self, totals: Mapping[str, int]) -> None:
        """Store today's coverage of each owner, and delete rows older than a year."""
        today = self._today()
        counts = {owner: (await self._embeddings.counts(owner, self._vectors.model))[1] for owner in totals}
        rows = [
            {"owner": owner, "day": today, "total": total, "embedded": min(counts[owner], total)}
            for owner, total in totals.items()
        ]
        oldest = (self._ctx.clock.now() - timedelta(days=_DAYS_KEPT)).strftime("%Y-%m-%d")
        insert: Any = sqlite.insert if self._ctx.db.dialect == "sqlite" else postgresql.insert

        def write(session: Session) -> None:
            for row in rows:
                statement = insert(_COVERAGE).values(row)
                session.connection().execute(
                    statement.on_conflict_do_update(
                        index_elements=["owner", "day"],
                        set_={"total": row["total"], "embedded": row["embedded"]},
                    )
                )
            session.execute(delete(_COVERAGE).where(_COVERAGE.c.day < oldest))

        await self._ctx.db.write(write)

    async def _days(self, owner: str) -> list[dict[str, Any]]:
        statement = (
            select(_COVERAGE.c.day, _COVERAGE.c.total, _COVERAGE.c.embedded)
            .where(_COVERAGE.c.owner == owner, _COVERAGE.c.day < self._today())
            .order_by(_COVERAGE.c.day.desc())
            .limit(_DAYS_SHOWN)
        )
        rows = await self._ctx.db.read(lambda s: s.execute(statement).all())
        return [{"date": day, "total": total, "with_embedding": embedded} for day, total, embedded in reversed(rows)]

    def _today(self) -> str:
        return self._ctx.clock.now().strftime("%Y-%m-%d")


async def _cover(ctx: Context) -> None:
    totals = await ctx.use(NoteEvents).sweep()
    await ctx.use(Analytics).record(totals)


COVERAGE = Job(name="coverage", run=_cover, daily=time(23, 50), timeout=timedelta(hours=1))


def _top(counts: Mapping[str, int], name: str) -> list[dict[str, Any]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
    return [{name: key, "count": count} for key, count in ordered]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 1.0
