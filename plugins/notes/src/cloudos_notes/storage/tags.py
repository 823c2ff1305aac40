"""Tags as rows: given ones, inline ones of the text, and the system's, which no change of the given ones takes away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, insert, select
from sqlmodel import Session

from cloudos_notes.storage.tables import TAG
from cloudos_notes.text import validation
from cloudos_notes.text.inputs import Edit
from cloudos_notes.text.normalization import folded, sorted_tags

GIVEN, INLINE, SYSTEM = "given", "inline", "system"
ARCHIVED = "archived"

_INSERT = insert(TAG)  # kept: to build a statement costs more than to run it


def retag(session: Session, row: Any, edit: Edit, content: validation.NoteContent | None) -> list[str]:
    """Replace the tags of a note by the given ones and those in its text; return all."""
    statement = select(TAG.c.kind, TAG.c.key, TAG.c.tag).where(TAG.c.note == row.seq)
    had = {tuple(tag) for tag in session.execute(statement)}
    given = [tag for kind, _, tag in had if kind == GIVEN] if edit.given is None else edit.given
    inline = [tag for kind, _, tag in had if kind == INLINE] if content is None else content.tags
    system = [tag for kind, _, tag in had if kind == SYSTEM]
    if edit.archived is not None:
        given = [tag for tag in given if folded(tag) != ARCHIVED]
        system = [tag for tag in system if tag != ARCHIVED] + ([ARCHIVED] if edit.archived else [])
    now = by_kind(given, inline, system)
    if set(now) != had:
        session.execute(delete(TAG).where(TAG.c.note == row.seq))
        insert_tags(session, row.seq, row.owner, now)
    return sorted_tags(tag for _, _, tag in now)


def by_kind(given: Iterable[str], inline: Iterable[str], system: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return kind, key and tag of all tags; system tags are never given ones."""
    keys = {folded(tag): tag for tag in system}
    found = [(SYSTEM, key, tag) for key, tag in keys.items()]
    found += [(GIVEN, folded(tag), tag) for tag in given if folded(tag) not in keys]
    return found + [(INLINE, folded(tag), tag) for tag in inline]


def insert_tags(session: Session, seq: int, owner: str, kinds: Iterable[tuple[str, str, str]]) -> None:
    """Add the tags of a note that has none."""
    rows = [{"note": seq, "kind": kind, "key": key, "owner": owner, "tag": tag} for kind, key, tag in kinds]
    if rows:
        session.connection().execute(_INSERT, rows)
