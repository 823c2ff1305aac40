"""Reads an archive of Markdown files into notes, as an operation that may be stopped, go on and be cancelled.

A file is what its path says, so that reading an archive again changes nothing. Where no note is of that path, it is the
note of the same folder and title that is of no file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary
from zipfile import ZipInfo

from cloudos_sdk import CloudOSError, Context, DatabaseUnavailable, InvalidRequest, Operation, new_id
from cloudos_sdk.capabilities import NoteDraft
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from cloudos_notes.schemas import ImportQuery
from cloudos_notes.storage import links
from cloudos_notes.storage.store import Store
from cloudos_notes.storage.tables import NOTE, PRESENT
from cloudos_notes.text import validation
from cloudos_notes.text.inputs import Edit, NewNote, ready
from cloudos_notes.text.normalization import file_key, file_title, folded
from cloudos_notes.vault import front_matter, import_progress
from cloudos_notes.vault.archive import ArchiveLimits, Vault, VaultFile, modified_of, path_of, refused
from cloudos_notes.vault.attachments import Attachments, StoredAttachment
from cloudos_notes.vault.import_progress import ImportOutcome
from cloudos_notes.vault.uploads import Uploads, in_time

_BATCH = 50
_AT_ONCE = 2
_KEPT_DAYS = 2
_BUFFER = 1 << 20


class Importer:
    """Takes archives and imports them."""

    def __init__(self, ctx: Context, store: Store, attachments: Attachments) -> None:
        self._ctx = ctx
        self._attachments = attachments
        self._store = store
        self._uploads = Uploads()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        settings = ctx.settings
        self._most = settings.max_import_mb * 1024 * 1024
        self._limits = ArchiveLimits(settings.max_import_notes, store.most, settings.max_unpacked_mb * 1024 * 1024)

    @property
    def _folder(self) -> Path:
        return Path(self._ctx.data_dir) / "imports"

    def register(self) -> None:
        """Take up the imports that a stop interrupted."""
        self._ctx.operations.register("import", self.run)

    async def take(self, owner: str, body: AsyncIterator[bytes], query: ImportQuery) -> str:
        """Store an archive, look whether it may be imported, and begin; return the operation's id."""
        folder = validation.folder(query.folder)
        path = self._folder / f"{new_id('zip')}.zip"
        try:
            with self._uploads.place(owner):
                await self._receive(path, in_time(body))
            vault = await asyncio.to_thread(Vault, path, self._limits)
            vault.close()
            input = {"owner": owner, "file": path.name, "folder": folder, "existing": query.existing}
            title = f"Import {len(vault.notes)} notes"
            return await self._ctx.db.write(lambda s: self._ctx.operations.start(s, "import", owner, title, input))
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise

    async def _receive(self, path: Path, body: AsyncIterator[bytes]) -> None:
        await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        received, waiting = 0, bytearray()
        async for part in body:
            received += len(part)
            if received > self._most:
                raise InvalidRequest(f"An archive is at most {self._most} bytes long.", code="archive_refused")
            waiting += part
            if len(waiting) >= _BUFFER:
                await asyncio.to_thread(_append, path, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(_append, path, bytes(waiting))

    async def run(self, operation: Operation) -> Mapping[str, Any]:
        """Import one archive."""
        path = self._folder / Path(operation.input["file"]).name
        mine = self._turns.setdefault(operation.input["owner"], asyncio.Lock())
        try:
            async with mine, self._turn:
                outcome = await self._read(operation, path)
        except asyncio.CancelledError:
            if operation.cancel_requested:
                await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        except CloudOSError:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        await asyncio.to_thread(path.unlink, missing_ok=True)
        return vars(outcome)

    async def _read(self, operation: Operation, path: Path) -> ImportOutcome:
        done, outcome = await self._ctx.db.read(lambda s: import_progress.load(s, path.name))
        if done and not await asyncio.to_thread(path.exists):
            return outcome  # it was stopped between its last file and its last word
        vault = await asyncio.to_thread(Vault, path, self._limits)
        try:
            return await self._import(operation, vault, done, outcome)
        finally:
            vault.close()

    async def _import(self, operation: Operation, vault: Vault, done: int, outcome: ImportOutcome) -> ImportOutcome:
        total, left = len(vault.notes) + len(vault.others), self._limits.unpacked
        if not done:
            if vault.hidden:
                outcome.tell(vault.hidden[0], f"left out, with all {len(vault.hidden)} hidden files")
            for name in vault.repeated:
                outcome.fail(name, "left out, because its name came before in this archive")
        while done < total:
            entries = vault.notes[done : done + _BATCH]
            if entries:
                files = await asyncio.to_thread(lambda entries=entries: [vault.read(entry) for entry in entries])  # type: ignore[misc]
                left -= sum(len(file.text) for file in files)
                for entry, file in zip(entries, files, strict=True):
                    if file.kept:
                        outcome, size = await self._keep(vault, entry, left, operation.input, done, outcome)
                        left -= size
                outcome = await self._store_files(operation.input, files, done, outcome)
                done += len(entries)
            else:
                entry = vault.others[done - len(vault.notes)]
                done += 1
                outcome, size = await self._keep(vault, entry, left, operation.input, done, outcome)
                left -= size
            if left < 0:
                raise refused("it unpacks to more than it says")
            await operation.progress(done / max(1, total), f"Imported {done} of {total} files")
        await self._ctx.db.write(lambda s: self._progress(s, operation.input, max(done, 1), outcome))
        return outcome

    async def _store_files(
        self, input: Mapping[str, Any], files: Sequence[VaultFile], done: int, before: ImportOutcome
    ) -> ImportOutcome:
        """Store notes, and how far the import is then, in one transaction."""
        outcome, notes = before.copy(), []
        for file in files:
            if file.problem is not None:
                outcome.fail(file.path, file.problem)
                continue
            try:
                notes.append(await self._note(file, input["folder"]))
            except InvalidRequest as error:
                outcome.fail(file.path, error.message)
            except Exception as error:  # noqa: BLE001 - whatever a file makes of our reading, the others are read
                self._left_out(outcome, file.path, error)
        try:
            return await self._write_all(input, notes, done + len(files), outcome)
        except (
            OperationalError,
            DatabaseUnavailable,
        ):  # such as a full disk: no file is to blame
            raise
        except Exception as error:  # noqa: BLE001 - one of them cannot be stored: which, is found one by one
            if len(files) == 1:
                self._left_out(outcome, files[0].path, error)
                return outcome
            outcome = before
            for at, file in enumerate(files):
                outcome = await self._store_files(input, [file], done + at, outcome)
            return outcome

    async def _write_all(
        self, input: Mapping[str, Any], notes: Sequence[NewNote], done: int, before: ImportOutcome
    ) -> ImportOutcome:
        def write(session: Session) -> ImportOutcome:
            outcome = before.copy()
            for note in notes:
                what = self._write(session, input["owner"], note, input["existing"])
                setattr(outcome, what, getattr(outcome, what) + 1)
            self._progress(session, input, done, outcome)
            return outcome

        return await self._ctx.db.write(write)

    def _progress(self, session: Session, input: Mapping[str, Any], done: int, outcome: ImportOutcome) -> None:
        import_progress.store(session, Path(input["file"]).name, done, outcome, self._ctx.clock.now())

    async def _keep(
        self, vault: Vault, entry: ZipInfo, most: int, input: Mapping[str, Any], done: int, before: ImportOutcome
    ) -> tuple[ImportOutcome, int]:
        """Store an attachment, and how far the import is then."""
        outcome = before.copy()
        try:
            stored = await asyncio.to_thread(self._stored, vault, entry, most, input["folder"])
        except ValueError as error:
            outcome.fail(path_of(entry), str(error))
            return outcome, 0
        outcome.attachments += 1

        def write(session: Session) -> None:
            self._attachments.write(session, input["owner"], stored, input["existing"])
            self._progress(session, input, done, outcome)

        await self._ctx.db.write(write)
        return outcome, stored.size

    def _stored(self, vault: Vault, entry: ZipInfo, most: int, below: str) -> StoredAttachment:
        path = path_of(entry)
        return self._attachments.keep(_below(below, path), vault.parts(entry, most), modified_of(entry))

    def _left_out(self, outcome: ImportOutcome, path: str, error: Exception) -> None:
        self._ctx.log.warning("a note cannot be imported", path=path, error=f"{type(error).__name__}: {error}"[:300])
        outcome.fail(path, f"left out, because it cannot be read ({type(error).__name__})")

    async def _note(self, file: VaultFile, below: str) -> NewNote:
        """Return the note that a file is; its title is the file's name unless its front matter has one."""
        raw, content, known = await asyncio.to_thread(front_matter.split, file.text)
        title = known.title or file_title(file.path, content)
        draft = NoteDraft(
            content=content,
            title=title,
            tags=known.tags,
            importance=known.importance,
            source=known.source,
            namespace=known.namespace,
            client=known.client,
        )
        return await ready(
            draft,
            self._store.most,
            folder=validation.folder(f"{below}/{file.folder}"),
            front_matter=raw,
            path=_below(below, file.path),
            archived=known.archived,
            created_at=known.created or file.modified,
            updated_at=file.modified,
        )

    def _write(self, session: Session, owner: str, new: NewNote, existing: str) -> str:
        """Store one note; return the outcome."""
        found = self._same(session, owner, new)
        if found is None or existing == "copy":
            kept = existing != "update" and self._attachments.has(session, owner, str(new.path))
            if kept and existing == "skip":
                return "unchanged"
            taken = kept or (found is not None and found.path is not None)
            self._store.writing.insert(session, owner, replace(new, path=None) if taken else new)
            if not taken:
                self._attachments.forget(session, owner, str(new.path))
            return "created"
        if existing == "skip":
            return "unchanged"
        edit = Edit(
            title=new.title,
            content=new.content,
            given=new.given,
            importance=new.draft.importance,
            archived=new.archived,
        )
        changed = self._store.writing.change(session, owner, found.id, edit, follow=False).note
        key = file_key(new.path)
        values = {"front_matter": new.front_matter, "path": new.path, "file_key": key}
        session.execute(update(NOTE).where(NOTE.c.id == found.id).values(**values))
        if key != found.file_key:
            links.resolve(session, owner, [key])
        return "updated" if changed.version != found.version else "unchanged"

    def _same(self, session: Session, owner: str, new: NewNote) -> Any:
        """Return the note that a file is of; else one of its folder and title that is of no file."""
        columns = (NOTE.c.id, NOTE.c.version, NOTE.c.path, NOTE.c.file_key)
        mine = select(*columns).where(NOTE.c.owner == owner, PRESENT).order_by(NOTE.c.seq)
        of_file = mine.where(NOTE.c.file_key == file_key(new.path), NOTE.c.path == new.path)
        of_title = mine.where(NOTE.c.title_key == folded(new.title), NOTE.c.folder == new.folder, NOTE.c.path.is_(None))
        return session.execute(of_file).first() or session.execute(of_title).first()

    async def sweep(self) -> None:
        """Delete archives that no import has used for days, and orphaned attachment files."""
        await asyncio.to_thread(_sweep, self._folder)
        before = self._ctx.clock.now() - timedelta(days=_KEPT_DAYS)
        await self._ctx.db.write(lambda s: import_progress.forget(s, before))
        await asyncio.to_thread(self._attachments.sweep, await self._attachments.used())


def _below(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _sweep(folder: Path) -> None:
    for path in folder.glob("*.zip") if folder.is_dir() else ():
        if path.stat().st_mtime < time.time() - _KEPT_DAYS * 86400:
            path.unlink(missing_ok=True)
