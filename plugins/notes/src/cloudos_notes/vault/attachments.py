"""Files of an archive that are no notes: kept beside the database, each content once, and exported again."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cloudos_sdk import Context, NotFound, iso, new_id
from sqlalchemy import delete, insert, select, update
from sqlmodel import Session

from cloudos_notes.events import AttachmentDeleted, AttachmentImported
from cloudos_notes.storage.tables import ATTACHMENT

_PART = 1 << 20
_UNUSED_DAYS = 1
_NUMBERED = 20
_LISTED = (ATTACHMENT.c.id, ATTACHMENT.c.path, ATTACHMENT.c.size, ATTACHMENT.c.modified_at)


@dataclass(frozen=True, slots=True)
class StoredAttachment:
    """A file whose bytes are kept."""

    path: str
    digest: str
    size: int
    modified: datetime


class Attachments:
    """The attachments of all users."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    @property
    def _folder(self) -> Path:
        return Path(self._ctx.data_dir) / "attachments"

    def keep(self, path: str, parts: Iterator[bytes], modified: datetime) -> StoredAttachment:
        """Store the bytes of a file; blocking. Whatever `parts` raises leaves nothing behind."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        handle, name = tempfile.mkstemp(prefix="new-", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    digest.update(part)
                    size += len(part)
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.file(digest.hexdigest()))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return StoredAttachment(path, digest.hexdigest(), size, modified)

    def file(self, digest: str) -> Path:
        """Return the file that a content is in."""
        return self._folder / digest

    def write(self, session: Session, owner: str, stored: StoredAttachment, existing: str) -> str:
        """Store the row of a file in the current transaction; return the outcome."""
        mine = (ATTACHMENT.c.owner == owner, ATTACHMENT.c.path == stored.path)
        row = session.execute(select(ATTACHMENT.c.id, ATTACHMENT.c.digest).where(*mine)).first()
        values = {"digest": stored.digest, "size": stored.size, "modified_at": stored.modified}
        if row is not None and (row.digest == stored.digest or existing == "skip"):
            return "unchanged"
        if row is not None and existing == "update":
            id, done = str(row.id), "updated"
            session.execute(update(ATTACHMENT).where(*mine).values(**values))
        else:
            id, done = new_id("att"), "created"
            path = stored.path if row is None else _free(session, owner, stored.path)
            session.execute(insert(ATTACHMENT).values(id=id, owner=owner, path=path, **values))
        self._ctx.events.emit(session, AttachmentImported(resource=id, details="Imported an attachment", owner=owner))
        return done

    def has(self, session: Session, owner: str, path: str) -> bool:
        """Return whether an attachment exists at a path."""
        statement = select(ATTACHMENT.c.id).where(ATTACHMENT.c.owner == owner, ATTACHMENT.c.path == path)
        return session.execute(statement).first() is not None

    def forget(self, session: Session, owner: str, path: str) -> None:
        """Delete the attachment at a path that is now a note."""
        session.execute(delete(ATTACHMENT).where(ATTACHMENT.c.owner == owner, ATTACHMENT.c.path == path))

    async def all(self, owner: str, limit: int, after: str | None) -> list[dict[str, Any]]:
        """Return a user's attachments by path, those behind the path `after`."""
        statement = select(*_LISTED).where(ATTACHMENT.c.owner == owner).order_by(ATTACHMENT.c.path).limit(limit)
        if after is not None:
            statement = statement.where(ATTACHMENT.c.path > after)
        rows = await self._ctx.db.read(lambda s: s.execute(statement).all())
        return [{**row._mapping, "modified_at": iso(row.modified_at)} for row in rows]

    async def one(self, owner: str, id: str) -> Any:
        """Return the row of an attachment. Raises NotFound."""
        statement = select(*_LISTED, ATTACHMENT.c.digest).where(ATTACHMENT.c.owner == owner, ATTACHMENT.c.id == id)
        row = await self._ctx.db.read(lambda s: s.execute(statement).first())
        if row is None:
            raise NotFound("attachment", id)
        return row

    async def remove(self, owner: str, id: str) -> None:
        """Remove an attachment for good; its bytes follow within two days. Raises NotFound."""

        def write(session: Session) -> None:
            mine = (ATTACHMENT.c.owner == owner, ATTACHMENT.c.id == id)
            if not session.connection().execute(delete(ATTACHMENT).where(*mine)).rowcount:
                raise NotFound("attachment", id)
            self._ctx.events.emit(session, AttachmentDeleted(resource=id, details="Removed an attachment", owner=owner))

        await self._ctx.db.write(write)

    async def exported(self, owner: str, folder: str | None) -> Sequence[Any]:
        """Return path, content and time of a user's attachments, or of those below a folder."""
        columns = (ATTACHMENT.c.path, ATTACHMENT.c.digest, ATTACHMENT.c.modified_at)
        statement = select(*columns).where(ATTACHMENT.c.owner == owner).order_by(ATTACHMENT.c.path)
        rows = await self._ctx.db.read(lambda s: s.execute(statement).all())
        return [row for row in rows if not folder or row.path.startswith(f"{folder}/")]

    def sweep(self, used: set[str]) -> None:
        """Remove the bytes that no attachment has had for a day; blocking."""
        before = time.time() - _UNUSED_DAYS * 86400
        for file in self._folder.glob("*") if self._folder.is_dir() else ():
            with suppress(FileNotFoundError):
                if file.name not in used and file.stat().st_mtime < before:
                    file.unlink()

    async def used(self) -> set[str]:
        """Return the contents that attachments have."""
        statement = select(ATTACHMENT.c.digest).distinct()
        return set(await self._ctx.db.read(lambda s: s.execute(statement).scalars().all()))


def parts_of(path: Path) -> Iterator[bytes]:
    """Yield a file piece by piece."""
    with path.open("rb") as file:
        while part := file.read(_PART):
            yield part


def _free(session: Session, owner: str, path: str) -> str:
    stem, dot, ending = path.rpartition(".") if "." in path.rpartition("/")[2] else (path, "", "")
    for number in (*range(2, _NUMBERED), None):  # where all are taken, one that nobody has: each look holds the writer
        name = f"{stem} ({number if number is not None else new_id('copy')}){dot}{ending}"
        taken = select(ATTACHMENT.c.id).where(ATTACHMENT.c.owner == owner, ATTACHMENT.c.path == name)
        if session.execute(taken).first() is None:
            return name
    raise AssertionError("an id is taken")
