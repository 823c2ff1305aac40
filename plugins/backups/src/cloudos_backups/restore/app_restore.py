"""The restore of one app: fetched beside what is there, swapped in while the app is stopped, started, or put back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloudos_sdk import CloudOSError, Conflict, Context, to_the_end
from cloudos_sdk.capabilities import AppContents, AppData, Making

from cloudos_backups.models import Restore
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.repository import Repository
from cloudos_backups.restore import moves as folders
from cloudos_backups.restore.fetcher import Fetcher, check_room
from cloudos_backups.restore.moves import Move, packed, planned, unpacked
from cloudos_backups.restore.store import CHANGED, RestoreStore
from cloudos_backups.snapshots.manifest import Part

WORK = "restore"
"""The folder of ours that holds dumps while they are read."""


@dataclass
class Wanted:
    """What is to be restored: a part of a backup, as which app."""

    repository: Repository
    part: Part
    definition: str
    name: str
    making: Making | None
    rights: Sequence[str] = ()
    told: Callable[[float, str], None] = field(default=lambda fraction, message: None)
    placed: Callable[[AppContents], Awaitable[None]] | None = None
    """Called once the folders are in place, before the app is started."""


class AppRestore:
    """Restores apps. Whatever happens, the app is as the backup has it and well, or as it was before."""

    def __init__(self, ctx: Context, rows: RestoreStore, restic: Restic) -> None:
        self._ctx = ctx
        self._rows = rows
        self._fetcher = Fetcher(ctx, restic)

    async def run(self, row: Restore, wanted: Wanted) -> None:
        """Restore one app."""
        try:
            await self._run(row, wanted)
        except BaseException as error:
            await self._rows.change(row, error=str(error) or "It was cancelled.")
            await to_the_end(self.undo(row))
            raise
        if wanted.making == "trial":
            await to_the_end(self.undo(row))  # the app was made to be looked at alone
            return
        await self._rows.change(row, phase="done")
        await self._end(row)

    async def _run(self, row: Restore, wanted: Wanted) -> None:
        data = self._ctx.use(AppData)
        contents = await self._ready(row, wanted, data)
        plan, covered = await self._plan(row, wanted.part, contents)
        await asyncio.to_thread(check_room, list(plan.values()), wanted.part.bytes)
        await self._rows.change(row, phase="fetching", moves=packed([*plan.values(), *covered]))
        size = max(1, wanted.part.bytes)
        fetched = lambda done: wanted.told(0.1 + 0.6 * min(1.0, done / size), f"Fetching {wanted.name}")  # noqa: E731
        await self._fetcher.folders(wanted.repository, wanted.part, plan, fetched)
        dumps = await self._dumps(row, wanted)
        for move in covered:
            await asyncio.to_thread(folders.empty_like, move)
        wanted.told(0.75, f"Putting {wanted.name} in place")
        if wanted.making is None:
            await self._rows.change(row, phase="closing")
            await data.hold(row.app_id, "close")
        await self._rows.change(row, phase="swapping")
        for move in unpacked(row.moves):
            await asyncio.to_thread(folders.swap, move)
        if wanted.placed is not None:
            await wanted.placed(contents)
        for name, path in dumps.items():
            wanted.told(0.8, f"Reading the dump {name} of {wanted.name}")
            await data.load(row.app_id, name, str(path))
        await self._rows.change(row, phase="starting")
        wanted.told(0.9, f"Waiting until {wanted.name} is well")
        await data.let_go(row.app_id, wait=True)

    async def _ready(self, row: Restore, wanted: Wanted, data: AppData) -> AppContents:
        """Return the app whose folders are to be filled; one that runs goes on meanwhile, where it can."""
        if wanted.making is not None:
            wanted.told(0.02, f"Making the app {wanted.name}")
            return await data.make(
                wanted.definition, wanted.name, app_id=row.app_id, making=wanted.making, rights=wanted.rights
            )
        contents = await data.contents(row.app_id)
        if contents is None:
            raise Conflict("app_gone", f"The app {wanted.name} is not there any more; restore it once more.")
        if contents.definition == wanted.definition and all(folder.path for folder in contents.folders):
            return contents
        before = self._ctx.secrets.encrypt(contents.definition)
        await self._rows.change(row, phase="closing", before=before)
        await data.hold(row.app_id, "close")
        await data.define(row.app_id, wanted.definition)
        return await data.prepare(row.app_id)

    @staticmethod
    async def _plan(row: Restore, part: Part, contents: AppContents) -> tuple[dict[str, Move], list[Move]]:
        """Return the moves of the folders in the snapshot, by their path there, and of those that dumps fill."""
        there = {folder.name: folder.path for folder in contents.folders}
        if unknown := [folder.name for folder in part.folders if folder.name not in there]:
            raise Conflict("folder_unknown", f"{contents.name} has no {unknown[0]}, of which the backup is.")
        plan = {
            folder.path: await asyncio.to_thread(planned, row.id, folder.name, there[folder.name])
            for folder in part.folders
        }
        names = dict.fromkeys(name for covered in part.dumps.values() for name in covered)
        return plan, [await asyncio.to_thread(planned, row.id, name, there[name]) for name in names if name in there]

    async def _dumps(self, row: Restore, wanted: Wanted) -> dict[str, Path]:
        folder = self._ctx.data_dir / WORK / row.id
        found = {name: folder / name for name in wanted.part.dumps}
        for name, path in found.items():
            wanted.told(0.7, f"Fetching the dump {name} of {wanted.name}")
            await self._fetcher.dump(wanted.repository, wanted.part, name, path)
        return found

    async def undo(self, row: Restore) -> None:
        """Put back what was there before, from whatever step; the app goes on as it was."""
        data, phase = self._ctx.use(AppData), row.phase
        if phase not in ("done", "undone"):
            there = row.making is None and await data.contents(row.app_id) is not None
            if row.making is not None:
                await data.remove(row.app_id)
            elif there and phase in CHANGED:
                await data.hold(row.app_id, "close")
            for move in reversed(unpacked(row.moves)) if row.making is None else ():
                await asyncio.to_thread(folders.put_back, move)
            if there and row.before is not None and phase in CHANGED:
                await data.define(row.app_id, self._ctx.secrets.decrypt(row.before))
            await self._rows.change(row, phase="undone")
            if there and phase in CHANGED:
                try:
                    await data.let_go(row.app_id)
                except CloudOSError as error:
                    self._ctx.log.error("an app does not start as it was before", app=row.app_id, reason=error.message)
        await self._end(row)

    async def _end(self, row: Restore) -> None:
        await self._clean(row)
        await self._rows.change(row, finished_at=self._ctx.clock.now())

    async def _clean(self, row: Restore) -> None:
        """Remove what was kept, and what was fetched."""
        for move in unpacked(row.moves):
            for path in (move.kept, move.new, str(Path(move.new).with_suffix(".part"))):
                try:
                    await asyncio.to_thread(folders.remove, path)
                except OSError as error:
                    self._ctx.log.warning("what a restore left cannot be removed", path=path, reason=str(error))
        await asyncio.to_thread(folders.remove, str(self._ctx.data_dir / WORK / row.id))
