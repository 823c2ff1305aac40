"""Walks the links: a note's neighbours, breadth-first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudos_sdk import Database
from cloudos_sdk.capabilities import Neighbour, NoteFilter
from sqlalchemy import select
from sqlmodel import Session

from cloudos_notes.rows import BY_SEQ, COLUMNS, LINK, NOTE, chunks, conditions, note_of

_WITH_SEQ = select(*COLUMNS, NOTE.c.seq)
_ENDS = ((LINK.c.source, LINK.c.target), (LINK.c.target, LINK.c.source))


async def neighbours(db: Database, note_id: str, wanted: NoteFilter, depth: int, limit: int) -> Sequence[Neighbour]:
    """Return the notes within `depth` links, nearest first. Only notes of the filter are walked through."""

    def walk(session: Session) -> list[Neighbour]:
        holds = conditions(wanted, BY_SEQ)
        start = session.execute(select(NOTE.c.seq).where(NOTE.c.id == note_id, *holds)).scalar()
        if start is None:
            return []
        seen, edge, found = {start}, [start], []
        for distance in range(1, depth + 1):
            reached: dict[int, Any] = {}
            for part in chunks(edge):
                for here, there in _ENDS:
                    linked = select(there).where(here.in_(part))
                    for row in session.execute(_WITH_SEQ.where(NOTE.c.seq.in_(linked), *holds)):
                        if row.seq not in seen:
                            reached.setdefault(row.seq, row)
            found += [Neighbour(note_of(reached[seq]), distance) for seq in sorted(reached)]
            seen |= reached.keys()
            edge = sorted(reached)
            if len(found) >= limit or not edge:
                break
        return found[:limit]

    return await db.read(walk)
