"""Bringing the files of a snapshot to where they are put in place: beside the folders that they are to replace."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cloudos_sdk import CloudOSError, Context

from cloudos_backups.node.encryption import unseal
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.errors import RepositoryDamaged
from cloudos_backups.restic.repository import Repository
from cloudos_backups.restore.moves import Move, remove
from cloudos_backups.snapshots.manifest import DEFINITION, DUMPS, Part

_SPARE = 64 << 20


class NoRoom(CloudOSError):
    """507: there is no room for what is to be restored."""

    status = 507


class Fetcher:
    """Fetches the parts of an app from a snapshot."""

    def __init__(self, ctx: Context, restic: Restic) -> None:
        self._ctx = ctx
        self._restic = restic

    async def definition(self, repository: Repository, part: Part) -> str:
        """Return by what an app is made again."""
        sealed = await self._read(repository, part, f"{part.staged}/{DEFINITION}")
        try:
            return unseal(repository.password, sealed).decode()
        except ValueError as error:
            raise RepositoryDamaged(f"what the app {part.name} is cannot be read: {error}") from None

    async def _read(self, repository: Repository, part: Part, path: str) -> bytes:
        return b"".join([piece async for piece in self._restic.content(repository, part.snapshot or "", path)])

    async def folders(
        self, repository: Repository, part: Part, moves: Mapping[str, Move], told: Callable[[int], None]
    ) -> None:
        """Restore folders to the new places of their moves; `moves` has them by their path in the snapshot."""
        disks: defaultdict[int, list[str]] = defaultdict(list)
        for path, move in moves.items():
            disks[(await asyncio.to_thread(os.stat, Path(move.path).parent)).st_dev].append(path)
        for paths in disks.values():
            first = moves[paths[0]]
            into = Path(first.new).with_suffix(".part")
            await asyncio.to_thread(remove, str(into))
            await asyncio.to_thread(into.mkdir, 0o700)
            try:
                await self._restic.restore(
                    repository, part.snapshot or "", str(into), paths, size=part.bytes, told=told
                )
                await asyncio.to_thread(_place, into, {path: moves[path] for path in paths})
            finally:
                await asyncio.to_thread(remove, str(into))

    async def dump(self, repository: Repository, part: Part, name: str, into: Path) -> None:
        """Write a dump of a snapshot into a file."""
        await asyncio.to_thread(into.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        file = await asyncio.to_thread(into.open, "wb")
        try:
            async for piece in self._restic.content(repository, part.snapshot or "", f"{part.staged}/{DUMPS}/{name}"):
                await asyncio.to_thread(file.write, piece)
        finally:
            await asyncio.to_thread(file.close)


def _place(into: Path, moves: Mapping[str, Move]) -> None:
    for path, move in moves.items():
        found = into / path.lstrip("/")
        remove(move.new)
        if not os.path.lexists(found):
            raise RepositoryDamaged(f"{path} is not in the snapshot")
        found.rename(move.new)


def check_room(moves: Sequence[Move], size: int) -> None:
    """Raise NoRoom where the disk of a folder has no room for what is restored; what is there stays meanwhile."""
    for disk in {Path(move.path).parent for move in moves}:
        free = shutil.disk_usage(disk).free
        if free < size + _SPARE:
            raise NoRoom(
                "insufficient_storage",
                f"{size >> 20} MB are to be restored, and {free >> 20} MB are free at {disk}. What is there now is kept"
                " until the restored app is well, so that both need room.",
                free_bytes=free,
                needed_bytes=size,
            )
