"""Rows of notes: columns, conditions of filters, and values of a new text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cloudos_sdk.capabilities import Note, NoteFilter
from sqlalchemy import exists, func, literal_column, or_, select
from sqlalchemy.sql.elements import ColumnElement

from cloudos_notes.models import Attachment, IdempotencyRow, ImportRow, Link, Tag, VersionRow
from cloudos_notes.models import Note as NoteRow
from cloudos_notes.text.normalization import folded, tag_of

NOTE = NoteRow.__table__
TAG = Tag.__table__
LINK = Link.__table__
VERSION = VersionRow.__table__
ONCE = IdempotencyRow.__table__
ATTACHMENT = Attachment.__table__
IMPORT = ImportRow.__table__

COLUMNS = tuple(
    NOTE.c[name]
    for name in (
        "id",
        "owner",
        "title",
        "content",
        "tags",
        "importance",
        "archived",
        "source",
        "namespace",
        "client",
        "version",
        "created_at",
        "updated_at",
        "last_referenced_at",
    )
)


class _BySeq:
    """The columns of a note such that SQLite walks the index of owner and `seq`, and none of a whole namespace."""

    def __getattr__(self, name: str) -> Any:
        column = NOTE.c[name]
        return column.concat("") if name == "namespace" else column


BY_SEQ = _BySeq()


class Aliased:
    """The columns of `notes_note AS <alias>`, for a textual FROM clause with a fixed join order."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def __getattr__(self, name: str) -> Any:
        return literal_column(f"{self._alias}.{name}", NOTE.c[name].type)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSelection(NoteFilter):
    """A filter that also knows folders, each with those below it, and the trash, which it shows instead."""

    folder: str | None = None
    trash: bool = False


PRESENT: ColumnElement[bool] = NOTE.c.deleted_at.is_(None)


def note_of(row: Any) -> Note:
    """Return the note of a row that begins with `COLUMNS`."""
    return Note(
        id=row[0],
        owner=row[1],
        title=row[2],
        content=row[3],
        tags=tuple(orjson.loads(row[4])),
        importance=row[5],
        archived=row[6],
        source=row[7],
        namespace=row[8],
        client=row[9],
        version=row[10],
        created_at=row[11],
        updated_at=row[12],
        last_referenced_at=row[13],
    )


def conditions(wanted: NoteFilter, columns: Any = NOTE.c) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter; notes in the trash are excluded unless wanted."""
    trash, folder = (wanted.trash, wanted.folder) if isinstance(wanted, NoteSelection) else (False, None)
    deleted = columns.deleted_at.is_not(None) if trash else columns.deleted_at.is_(None)
    found: list[ColumnElement[bool]] = [columns.owner == wanted.owner, deleted]
    if folder is not None:
        below = f"{folder}/"
        found.append(or_(columns.folder == folder, func.substr(columns.folder, 1, len(below)) == below))
    for column, names in (
        (columns.namespace, wanted.namespaces),
        (columns.source, wanted.sources),
        (columns.client, wanted.clients),
    ):
        if names is not None:
            found.append(column == names[0] if len(names) == 1 else column.in_(names))
    found += [has_tag(columns, tag) for tag in wanted.tags]
    if wanted.since is not None:
        found.append(columns.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(columns.created_at < wanted.until)
    if wanted.min_importance > 0:
        found.append(columns.importance >= wanted.min_importance)
    if not wanted.archived:
        found.append(columns.archived.is_(False))
    return found


def has_tag(columns: Any, tag: str) -> ColumnElement[bool]:
    """Return the condition that a note has a tag, whatever its case and with or without `#`."""
    return exists(select(1).where(TAG.c.note == columns.seq, TAG.c.key == folded(tag_of(tag))))


def chunks(items: Sequence[Any], size: int = 500) -> list[Sequence[Any]]:
    """Return a sequence in parts that fit into one statement."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def tags_json(tags: Sequence[str]) -> str:
    """Return tags as they are stored in the row of their note."""
    return orjson.dumps(list(tags)).decode()


def data_of(row: Any) -> dict[str, str]:
    """Return the data of a note's event besides its id."""
    return {"owner": row.owner, "namespace": row.namespace, "source": row.source}
