"""Writes notes as an archive of Markdown files with front matter, some hundred at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from typing import Any

from cloudos_sdk import Context
from sqlalchemy import func, select
from sqlmodel import Session

from cloudos_notes.storage.tables import NOTE, TAG, NoteSelection, conditions
from cloudos_notes.storage.tags import ARCHIVED, GIVEN, SYSTEM
from cloudos_notes.text.normalization import file_title, sorted_tags
from cloudos_notes.vault import front_matter
from cloudos_notes.vault.archive import VaultWriter
from cloudos_notes.vault.attachments import Attachments, parts_of
from cloudos_notes.vault.front_matter import KnownFiles

_WINDOW = 200
_COLUMNS = (
    "seq",
    "title",
    "content",
    "importance",
    "archived",
    "source",
    "namespace",
    "client",
    "folder",
    "path",
    "front_matter",
    "created_at",
    "updated_at",
)
_NOTES = select(*(NOTE.c[name] for name in _COLUMNS)).order_by(NOTE.c.seq).limit(_WINDOW)

Part = tuple[list[Any], dict[int, list[str]]]


class Exporter:
    """Exports the notes of one person."""

    def __init__(self, ctx: Context, attachments: Attachments) -> None:
        self._db, self._log = ctx.db, ctx.log
        self._attachments = attachments

    async def export(self, wanted: NoteSelection) -> AsyncGenerator[bytes, None]:
        """Yield the archive. Notes written since the beginning are left out."""
        last = await self._db.read(lambda s: s.execute(select(func.max(NOTE.c.seq))).scalar()) or 0
        others = await self._attachments.exported(wanted.owner, wanted.folder) if _whole(wanted) else []
        paths = select(NOTE.c.path).where(*conditions(wanted), NOTE.c.path.is_not(None))
        named = await self._db.read(lambda s: s.execute(paths).scalars().all())
        writer, after = VaultWriter([*named, *(other.path for other in others)]), 0
        while True:
            rows, tags = await self._db.read(lambda s, after=after: _window(s, wanted, after, last))  # type: ignore[misc]
            if rows:
                chunk = await asyncio.to_thread(_write, writer, rows, tags)
                after = rows[-1].seq
                if chunk:
                    yield chunk
            if len(rows) < _WINDOW:
                break
        for other in others:
            file = self._attachments.file(other.digest)
            if not await asyncio.to_thread(file.is_file):
                self._log.warning("an attachment is not in the export: its bytes are gone", path=other.path)
                continue
            chunks = writer.copy(other.path, parts_of(file), other.modified_at)
            while (written := await asyncio.to_thread(_next, chunks)) is not None:
                if written:
                    yield written
        yield writer.end()


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


def _whole(wanted: NoteSelection) -> bool:
    """Return whether a filter selects whole folders."""
    return not (wanted.namespaces or wanted.sources or wanted.tags)


def _window(session: Session, wanted: NoteSelection, after: int, last: int) -> Part:
    inside = (NOTE.c.seq > after, NOTE.c.seq <= last)
    rows = list(session.connection().execute(_NOTES.where(*conditions(wanted), *inside)))
    given: defaultdict[int, list[str]] = defaultdict(list)
    kept = (TAG.c.note.in_([row.seq for row in rows]), TAG.c.kind.in_((GIVEN, SYSTEM)), TAG.c.key != ARCHIVED)
    for note, tag in session.execute(select(TAG.c.note, TAG.c.tag).where(*kept)):
        given[note].append(tag)
    return rows, given


def _write(writer: VaultWriter, rows: list[Any], tags: dict[int, list[str]]) -> bytes:
    for row in rows:
        path = writer.place(row.path, row.folder, row.title)
        known = KnownFiles(
            title=None if file_title(path, row.content) == row.title else row.title,
            tags=tuple(sorted_tags(tags.get(row.seq, ()))),
            importance=row.importance,
            archived=row.archived,
            source=row.source,
            namespace=row.namespace,
            client=row.client,
            created=row.created_at.replace(microsecond=0) if _told(row.created_at, row.updated_at) else None,
        )
        raw = row.front_matter
        if raw is not None:
            known = _as_it_said(raw, known, row)
        writer.add(path, front_matter.joined(raw, known, row.content), row.updated_at)
    return writer.taken()


def _told(created: datetime, updated: datetime) -> bool:
    """Return whether a ZIP entry's time, exact to two seconds, differs from the note's creation."""
    return abs((updated - created).total_seconds()) > 2


def _as_it_said(raw: str, known: KnownFiles, row: Any) -> KnownFiles:
    """Return the values to write, keeping equivalent ones as the front matter writes them."""
    had = front_matter.split(raw)[2]
    title = had.title if had.title == row.title else known.title
    created = had.created if had.created == row.created_at else known.created
    return KnownFiles(
        title=title,
        tags=known.tags,
        importance=known.importance,
        archived=known.archived,
        source=known.source,
        namespace=known.namespace,
        client=known.client,
        created=created,
    )
