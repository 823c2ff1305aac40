"""The part of a backup that is one app: its dumps, its volumes while it is held still, and what it is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from cloudos_sdk import CloudOSError, Context, iso, to_the_end
from cloudos_sdk.capabilities import AppContents, AppData

from cloudos_backups.node.encryption import seal
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.messages import Made
from cloudos_backups.snapshots import staging_folder
from cloudos_backups.snapshots.manifest import DEFINITION, DUMPS, MANIFEST, FolderOf, Part, written
from cloudos_backups.snapshots.run import Run


class PartFailed(CloudOSError):
    """500: nothing of a part could be backed up."""

    def __init__(self, why: str) -> None:
        super().__init__("part_failed", why)


class AppPart:
    """Backs up apps, one at a time. An app is held only while restic reads its volumes."""

    def __init__(self, ctx: Context, restic: Restic) -> None:
        self._ctx = ctx
        self._restic = restic

    async def back_up(self, run: Run, part: Part) -> None:
        """Make the snapshot of an app and note in `part` what became of it."""
        data = self._ctx.use(AppData)
        contents = await data.contents(part.id)
        if contents is None:
            raise PartFailed("the app is not there any more")
        part.name, part.missing, part.folders, part.dumps = contents.name, [], [], {}
        staged = self._ctx.data_dir / staging_folder.FOLDER / part.id
        await asyncio.to_thread(staging_folder.fresh, staged)
        part.staged, part.made_at = str(staged), iso(self._ctx.clock.now())
        try:
            dumped = await self._dump(data, contents, staged, part)
            await self._choose(run, contents, dumped, part)
            manifest = written(part, run.backup_id, run.node, str(self._ctx.data_dir.parent))
            await asyncio.to_thread(staging_folder.put, staged / MANIFEST, manifest)
            definition = seal(run.password, contents.definition.encode())
            await asyncio.to_thread(staging_folder.put, staged / DEFINITION, definition)
            self._note(part, await self._snapshot(run, part, data, contents))
        finally:
            await asyncio.to_thread(staging_folder.remove, staged)

    async def _dump(self, data: AppData, contents: AppContents, staged: Path, part: Part) -> set[str]:
        """Have the app's services dump their data; return the folders for which the dumps stand.

        Where that fails the folders themselves are taken, while the app is held.
        """
        covered: set[str] = set()
        for dump in contents.dumps if contents.running else ():
            await asyncio.to_thread((staged / DUMPS).mkdir, mode=0o700, exist_ok=True)
            path = staged / DUMPS / dump.name
            try:
                await data.dump(contents.id, dump.name, str(path))
            except CloudOSError as error:
                await asyncio.to_thread(path.unlink, missing_ok=True)
                part.missing.append(f"the dump of {dump.service} ({error.message}); its files are there instead")
            else:
                part.dumps[dump.name] = list(dump.folders)
                covered |= set(dump.folders)
        return covered

    async def _choose(self, run: Run, contents: AppContents, dumped: set[str], part: Part) -> None:
        for folder in contents.folders:
            there = bool(folder.path) and await asyncio.to_thread(Path(folder.path).exists)
            if there and run.target_path is not None and await asyncio.to_thread(_within, run.target_path, folder.path):
                raise PartFailed(f"the target {run.target_path} lies in the app's own data at {folder.path}")
            if folder.name in dumped:
                continue
            if not there:
                part.missing.append(f"{folder.name}: {folder.path or 'the volume'} is not there")
                continue
            if not await asyncio.to_thread(_readable, folder.path):
                part.missing.append(f"{folder.name}: {folder.path} cannot be read by this node; run it as root")
                continue
            part.folders.append(FolderOf(folder.name, folder.path, folder.volume))

    async def _snapshot(self, run: Run, part: Part, data: AppData, contents: AppContents) -> Made:
        held = contents.running and contents.hold != "none" and bool(part.folders)
        if not held:
            return await self._read(run, part)
        try:
            await data.hold(part.id, contents.hold)
            return await self._read(run, part)
        finally:
            await to_the_end(data.let_go(part.id))

    async def _read(self, run: Run, part: Part) -> Made:
        return await self._restic.backup(
            run.repository,
            part.roots,
            host=run.node,
            tags=run.tags(part),
            told=lambda status: run.told(part, status),
        )

    @staticmethod
    def _note(part: Part, made: Made) -> None:
        part.snapshot, part.bytes, part.added, part.files = made.snapshot, made.bytes, made.added, made.files
        part.missing += made.unread
        part.status = "partial" if part.missing else "completed"
        part.error = None


def _readable(path: str) -> bool:
    return os.access(path, os.R_OK) and (not Path(path).is_dir() or os.access(path, os.X_OK))


def _within(path: str, folder: str) -> bool:
    inner, outer = Path(path).resolve(), Path(folder).resolve()
    return inner == outer or outer in inner.parents
