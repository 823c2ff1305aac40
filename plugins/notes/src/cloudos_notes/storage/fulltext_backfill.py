"""Fills the column `search` of notes where it is empty, e.g. after a move from the other kind of database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from cloudos_sdk import Context
from sqlalchemy import select, update
from sqlmodel import Session

from cloudos_notes.storage.tables import NOTE
from cloudos_notes.storage.writer import TextIndex
from cloudos_notes.text import validation

_NOTES = 50
_MISSING = (
    select(NOTE.c.seq, NOTE.c.title, NOTE.c.content).where(NOTE.c.search.is_(None)).order_by(NOTE.c.seq).limit(_NOTES)
)


async def fill_index(ctx: Context, index: TextIndex) -> None:
    """Index the notes that are not, some at a time beside other work."""
    while rows := await ctx.db.read(lambda session: session.execute(_MISSING).all()):
        wanted = await validation.beside(sum(len(row.content) for row in rows), partial(_wanted, index, rows))

        def fill(session: Session, wanted: Sequence[tuple[int, dict[str, Any]]] = wanted) -> None:
            for seq, values in wanted:  # one that was changed meanwhile is indexed
                statement = update(NOTE).where(NOTE.c.seq == seq, NOTE.c.search.is_(None))
                session.execute(index.changing(statement, values))

        await ctx.db.write(fill)


def _wanted(index: TextIndex, rows: Sequence[Any]) -> list[tuple[int, dict[str, Any]]]:
    return [(row.seq, index.stored(row.title, row.content, validation.read_now(row.content).words)) for row in rows]
