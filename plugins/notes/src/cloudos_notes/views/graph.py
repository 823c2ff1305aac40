"""The graph of notes and links (reference, "Notes graph"), written as it is read: some thousand notes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

import orjson
from cloudos_sdk import Context
from sqlalchemy import func, select, text
from sqlmodel import Session

from cloudos_notes.storage.tables import BY_SEQ, NOTE, Aliased, NoteSelection, conditions

_WINDOW = 1_000
_TIMES = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
_SHOWN = (
    "id",
    "title",
    "source",
    "namespace",
    "client",
    "importance",
    "created_at",
    "updated_at",
    "last_referenced_at",
)
_NODES = select(NOTE.c.seq, *(NOTE.c[name] for name in _SHOWN)).order_by(NOTE.c.seq)
_SOURCE, _TARGET = Aliased("s"), Aliased("t")
# links first, or SQLite walks all notes of the owner for each window
_THREE = text("notes_link AS l CROSS JOIN notes_note AS s CROSS JOIN notes_note AS t")
_LINKS: Any = (
    select(text("l.source"), text("l.target"), _SOURCE.id, _TARGET.id, _SOURCE.source, _TARGET.source)
    .select_from(_THREE)
    .where(text("s.seq = l.source AND t.seq = l.target AND l.target <= :last"))
    .where(text("l.source > :after AND l.source <= :until"))
    .distinct()
    .order_by(text("l.source, l.target"))
)


class GraphReader:
    """Reads the graph in windows, so that neither its size nor a slow client holds memory or the database."""

    def __init__(self, ctx: Context) -> None:
        self._db = ctx.db
        self._turn = asyncio.Lock()  # one window at a time, whoever asks: the others' requests are between them

    async def read(self, wanted: NoteSelection) -> AsyncGenerator[bytes, None]:
        """Yield the JSON of the graph. Notes written since the beginning are left out."""
        last = await self._db.read(lambda s: s.execute(select(func.max(NOTE.c.seq))).scalar()) or 0
        yield b'{"nodes":['
        async for part in self._array(partial(_nodes, wanted, last)):
            yield part
        yield b'],"links":['
        async for part in self._array(partial(_edges, wanted, last)):
            yield part
        yield b"]}"

    async def _array(self, window: Callable[[int, Session], tuple[bytes, int | None]]) -> AsyncGenerator[bytes, None]:
        reached: int | None = 0
        first = True
        while reached is not None:
            async with self._turn:
                items, reached = await self._db.read(partial(window, reached))
            if items:
                yield items if first else b"," + items
                first = False


def _nodes(wanted: NoteSelection, last: int, after: int, session: Session) -> tuple[bytes, int | None]:
    statement = _NODES.where(*conditions(wanted, BY_SEQ), NOTE.c.seq > after, NOTE.c.seq <= last).limit(_WINDOW)
    rows = session.connection().execute(statement).all()
    nodes = [dict(zip(_SHOWN, row[1:], strict=True)) for row in rows]
    return orjson.dumps(nodes, option=_TIMES)[1:-1], rows[-1][0] if len(rows) == _WINDOW else None


def _edges(wanted: NoteSelection, last: int, after: int, session: Session) -> tuple[bytes, int | None]:
    until = after + _WINDOW
    statement = _LINKS.where(*conditions(wanted, _SOURCE), *conditions(wanted, _TARGET))
    rows = session.connection().execute(statement, {"after": after, "until": until, "last": last})
    edges = [
        {"source": row[2], "target": row[3], "source_kind": row[4], "target_kind": row[5],
         "mixed_sources": row[4] != row[5]}
        for row in rows
    ]  # fmt: skip
    return orjson.dumps(edges)[1:-1], until if until < last else None
