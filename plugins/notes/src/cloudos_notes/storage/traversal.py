"""Walks the links: a note's neighbours, breadth-first."""

from __future__ import annotations

from collections.abc import Sequence

from cloudos_sdk import Database
from cloudos_sdk.capabilities import Neighbour, Note, NoteFilter
from sqlalchemy import select
from sqlmodel import Session

from cloudos_notes.storage.tables import BY_SEQ, COLUMNS, LINK, NOTE, chunks, conditions, note_of

_WHOLE = select(*COLUMNS, NOTE.c.seq)
_ENDS = ((LINK.c.source, LINK.c.target), (LINK.c.target, LINK.c.source))


async def neighbours(db: Database, note_id: str, wanted: NoteFilter, depth: int, limit: int) -> Sequence[Neighbour]:
    """Return the notes within `depth` links, nearest first. Only notes of the filter are walked through."""

    def walk(session: Session) -> list[Neighbour]:
        holds = conditions(wanted, BY_SEQ)
        start = session.execute(select(NOTE.c.seq).where(NOTE.c.id == note_id, *holds)).scalar()
        if start is None:
            return []
        seen, edge = {start}, [start]
        found: list[tuple[int, int]] = []
        for distance in range(1, depth + 1):
            reached: set[int] = set()
            for part in chunks(edge):
                for here, there in _ENDS:
                    linked = select(there).where(here.in_(part))
                    reached |= set(session.execute(select(NOTE.c.seq).where(NOTE.c.seq.in_(linked), *holds)).scalars())
            edge = sorted(reached - seen)
            seen |= reached
            found += [(seq, distance) for seq in edge]
            if len(found) >= limit or not edge:
                break
        notes: dict[int, Note] = {}
        for part in chunks([seq for seq, _ in found[:limit]]):
            notes |= {row.seq: note_of(row) for row in session.execute(_WHOLE.where(NOTE.c.seq.in_(part)))}
        return [Neighbour(notes[seq], distance) for seq, distance in found[:limit] if seq in notes]

    return await db.read(walk)
