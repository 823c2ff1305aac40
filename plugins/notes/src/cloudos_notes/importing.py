"""Reads an archive of Markdown files into notes, as an operation that may be stopped, go on and be cancelled.

A note of the same folder and title is the one that a file is of, so that reading an archive again changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from cloudos_sdk import CloudOSError, Context, DatabaseUnavailable, InvalidRequest, Operation, new_id
from cloudos_sdk.capabilities import NoteDraft
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from cloudos_notes import front_matter, texts
from cloudos_notes.drafts import Edit, NewNote, ready
from cloudos_notes.naming import LONGEST_TITLE, first_line, folded
from cloudos_notes.rows import NOTE, PRESENT
from cloudos_notes.schemas import ImportQuery
from cloudos_notes.store import Store
from cloudos_notes.uploads import Uploads, in_time
from cloudos_notes.vault import Limits, Vault, VaultFile, batches

_BATCH = 50
_AT_ONCE = 2
_TOLD = 50
_KEPT_DAYS = 2
_BUFFER = 1 << 20


@dataclass
class Outcome:
    """What became of the files."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    attachments: int = 0
    failed: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def fail(self, path: str, problem: str) -> None:
        """Count a file that is no note; the first ones are told by name."""
        self.failed += 1
        if len(self.problems) < _TOLD:
            self.problems.append({"path": path, "problem": problem})


class Importer:
    """Takes archives and imports them."""

    def __init__(self, ctx: Context, store: Store) -> None:
        self._ctx = ctx
        self._store = store
        self._uploads = Uploads()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        settings = ctx.settings
        self._most = settings.max_import_mb * 1024 * 1024
        self._limits = Limits(settings.max_import_notes, store.most, settings.max_unpacked_mb * 1024 * 1024)

    @property
    def _folder(self) -> Path:
        return Path(self._ctx.data_dir) / "imports"

    def register(self) -> None:
        """Take up the imports that a stop interrupted."""
        self._ctx.operations.register("import", self.run)

    async def take(self, owner: str, body: AsyncIterator[bytes], query: ImportQuery) -> str:
        """Store an archive, look whether it may be imported, and begin; return the operation's id."""
        folder = texts.folder(query.folder)
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
        done = path.with_suffix(".json")
        try:
            async with mine, self._turn:
                before = await asyncio.to_thread(_outcome_of, done) if operation.resumed else None
                if before is not None:  # it was killed between its end and the word of it
                    return before
                outcome = vars(await self._read(operation, path))
        except asyncio.CancelledError:
            if operation.cancel_requested:
                await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        except CloudOSError:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        await asyncio.to_thread(_finish, path, done, outcome)
        return outcome

    async def _read(self, operation: Operation, path: Path) -> Outcome:
        vault = await asyncio.to_thread(Vault, path, self._limits)
        try:
            return await self._import(operation, vault)
        finally:
            vault.close()

    async def _import(self, operation: Operation, vault: Vault) -> Outcome:
        outcome, done, total = Outcome(attachments=len(vault.others)), 0, len(vault.notes)
        for name in vault.others[:_TOLD]:
            outcome.problems.append({"path": name, "problem": "not kept: only Markdown files are notes"})
        for name in vault.repeated:
            outcome.fail(name, "left out, because its name came before in this archive")
        unpacked = 0
        for entries in batches(vault, _BATCH):
            files = await asyncio.to_thread(lambda entries=entries: [vault.read(entry) for entry in entries])  # type: ignore[misc]
            unpacked += sum(len(file.text) for file in files)
            if unpacked > self._limits.unpacked:
                raise InvalidRequest("The archive unpacks to more than it says.", code="archive_refused")
            await self._store_files(operation.input, files, outcome)
            done += len(files)
            await operation.progress(done / max(1, total), f"Imported {done} of {total} notes")
        return outcome

    async def _store_files(self, input: Mapping[str, Any], files: list[VaultFile], outcome: Outcome) -> None:
        notes: list[NewNote] = []
        paths: list[str] = []
        for file in files:
            if file.problem is not None:
                outcome.fail(file.path, file.problem)
                continue
            try:
                notes.append(await self._note(file, input["folder"]))
                paths.append(file.path)
            except InvalidRequest as error:
                outcome.fail(file.path, error.message)
            except Exception as error:  # noqa: BLE001 - whatever a file makes of our reading, the others are read
                self._left_out(outcome, file.path, error)
        try:
            made = await self._write_all(input, notes)
        except (
            OperationalError,
            DatabaseUnavailable,
        ):  # a full disk: no file is to blame
            raise
        except Exception as error:  # noqa: BLE001 - one of them cannot be stored: which, is found one by one
            if len(paths) == 1:
                self._left_out(outcome, paths[0], error)
                return
            for file in (file for file in files if file.path in paths):
                await self._store_files(input, [file], outcome)
            return
        for what in made:
            setattr(outcome, what, getattr(outcome, what) + 1)

    async def _write_all(self, input: Mapping[str, Any], notes: list[NewNote]) -> list[str]:
        def write(session: Session) -> list[str]:
            return [self._write(session, input["owner"], note, input["existing"]) for note in notes]

        return await self._ctx.db.write(write)

    def _left_out(self, outcome: Outcome, path: str, error: Exception) -> None:
        self._ctx.log.warning("a note cannot be imported", path=path, error=f"{type(error).__name__}: {error}"[:300])
        outcome.fail(path, f"left out, because it cannot be read ({type(error).__name__})")

    async def _note(self, file: VaultFile, below: str) -> NewNote:
        """Return the note that a file is; its title is the file's name unless its front matter has one."""
        raw, content, known = await asyncio.to_thread(front_matter.split, file.text)
        title = known.title or " ".join(file.stem.split())[:LONGEST_TITLE] or first_line(content)
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
            folder=texts.folder(f"{below}/{file.folder}"),
            front_matter=raw,
            archived=known.archived,
            created_at=known.created or file.modified,
            updated_at=file.modified,
        )

    def _write(self, session: Session, owner: str, new: NewNote, existing: str) -> str:
        """Store one note; return what that made of it."""
        same = (NOTE.c.owner == owner, NOTE.c.title_key == folded(new.title), NOTE.c.folder == new.folder, PRESENT)
        found = None
        if existing != "copy":
            found = session.execute(select(NOTE.c.id, NOTE.c.version).where(*same).order_by(NOTE.c.seq)).first()
        if found is None:
            self._store.writing.insert(session, owner, new)
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
        changed = self._store.writing.change(session, owner, found.id, edit).note
        session.execute(update(NOTE).where(NOTE.c.id == found.id).values(front_matter=new.front_matter))
        return "updated" if changed.version != found.version else "unchanged"

    async def sweep(self) -> None:
        """Remove archives that no import has taken up for days."""
        await asyncio.to_thread(_sweep, self._folder)


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _finish(archive: Path, done: Path, outcome: Mapping[str, Any]) -> None:
    """Keep what came of an archive in its place, for an operation that is killed before it can say so."""
    with contextlib.suppress(OSError):  # a full disk: the archive would be read again, which changes nothing
        done.write_text(json.dumps(outcome))
    archive.unlink(missing_ok=True)


def _outcome_of(done: Path) -> dict[str, Any] | None:
    try:
        outcome: dict[str, Any] = json.loads(done.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return outcome


def _sweep(folder: Path) -> None:
    for path in (*folder.glob("*.zip"), *folder.glob("*.json")) if folder.is_dir() else ():
        if path.stat().st_mtime < time.time() - _KEPT_DAYS * 86400:
            path.unlink(missing_ok=True)
