"""The graph of notes and links (reference, "Notes graph"), written as it is read: some thousand notes at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import orjson
from cloudos_sdk import Context, iso
from sqlalchemy import func, select
from sqlmodel import Session

from cloudos_notes.rows import BY_SEQ, LINK, NOTE, Wanted, chunks, conditions

_WINDOW = 1_000
_PART = 500
_END = select(NOTE.c.seq, NOTE.c.id, NOTE.c.source)
_NODES = select(
    NOTE.c.seq,
    NOTE.c.id,
    NOTE.c.title,
    NOTE.c.source,
    NOTE.c.namespace,
    NOTE.c.client,
    NOTE.c.importance,
    NOTE.c.created_at,
    NOTE.c.updated_at,
    NOTE.c.last_referenced_at,
).order_by(NOTE.c.seq)
_LINKS = select(LINK.c.source, LINK.c.target).distinct().order_by(LINK.c.source, LINK.c.target)


class GraphReader:
    """Reads the graph in windows, so that neither its size nor a slow client holds memory or the database."""

    def __init__(self, ctx: Context) -> None:
        self._db = ctx.db

    async def read(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """Yield the JSON of the graph. Notes written since the beginning are left out."""
        last = await self._db.read(lambda s: s.execute(select(func.max(NOTE.c.seq))).scalar()) or 0
        yield b'{"nodes":['
        async for part in self._array(partial(_nodes, wanted, last)):
            yield part
        yield b'],"links":['
        async for part in self._array(partial(_edges, wanted, last)):
            yield part
        yield b"]}"

    async def _array(self, window: Callable[[int, Session], tuple[list[bytes], int | None]]) -> AsyncIterator[bytes]:
        reached: int | None = 0
        first = True
        while reached is not None:
            items, reached = await self._db.read(partial(window, reached))
            if items:
                yield (b"" if first else b",") + b",".join(items)
                first = False


def _nodes(wanted: Wanted, last: int, after: int, session: Session) -> tuple[list[bytes], int | None]:
    statement = _NODES.where(*conditions(wanted, BY_SEQ), NOTE.c.seq > after, NOTE.c.seq <= last).limit(_WINDOW)
    rows = session.connection().execute(statement).all()
    found = [
        orjson.dumps(
            {
                "id": row[1],
                "title": row[2],
                "source": row[3],
                "namespace": row[4],
                "client": row[5],
                "importance": row[6],
                "created_at": iso(row[7]),
                "updated_at": iso(row[8]),
                "last_referenced_at": iso(row[9]) if row[9] is not None else None,
            }
        )
        for row in rows
    ]
    return found, rows[-1][0] if len(rows) == _WINDOW else None


def _edges(wanted: Wanted, last: int, after: int, session: Session) -> tuple[list[bytes], int | None]:
    statement = _LINKS.where(LINK.c.source > after, LINK.c.source <= after + _WINDOW, LINK.c.target <= last)
    links = session.connection().execute(statement).all()
    ends: dict[int, Any] = {}
    for part in chunks(sorted({seq for link in links for seq in link}), _PART):
        rows = session.connection().execute(_END.where(NOTE.c.seq.in_(part), *conditions(wanted, BY_SEQ)))
        ends |= {row[0]: row for row in rows}
    found = []
    for source, target in links:
        if source in ends and target in ends:
            _, id, kind = ends[source]
            _, target_id, target_kind = ends[target]
            edge = {"source": id, "target": target_id, "source_kind": kind, "target_kind": target_kind}
            found.append(orjson.dumps({**edge, "mixed_sources": kind != target_kind}))
    return found, after + _WINDOW if after + _WINDOW < last else None
