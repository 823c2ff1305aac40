"""The part of a backup that is the node: its database, its sealed key, the folders of its plugins, what they offer."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from cloudos_sdk import CloudOSError, Context, iso
from cloudos_sdk.capabilities import BackupSource

from cloudos_backups.node.database_copy import copy_database
from cloudos_backups.node.encryption import seal
from cloudos_backups.restic.client import Restic
from cloudos_backups.snapshots import staging_folder
from cloudos_backups.snapshots.manifest import DATABASE, FILES, HOST_KEY, MANIFEST, SOURCES, FolderOf, Part, written
from cloudos_backups.snapshots.run import Run

NODE = "node"
"""By which name a backup knows the node's folder."""

EARLY = ("audit",)
"""What is copied before the database: the end of the audit log outside of it may be earlier than in it, never later."""

LEFT_OUT = (
    *("host.key", "cloudos.db", "cloudos.db-wal", "cloudos.db-shm", "cloudos.db-journal"),
    *("lock", "reserve", "api.sock", "boot.json", "health.json", "snapshots", "apps/files", "apps/secrets"),
    *("backups/cache", "backups/targets", "backups/restore", "backups/stage", *EARLY),
)
"""What of the node's folder is not copied as it is: it is copied otherwise, made anew, or the apps' data."""

_SOURCE_SECONDS = 600.0


class NodePart:
    """Backs up the node itself."""

    def __init__(self, ctx: Context, restic: Restic) -> None:
        self._ctx = ctx
        self._restic = restic

    async def back_up(self, run: Run, part: Part) -> None:
        """Make the snapshot of the node and note in `part` what became of it."""
        data_folder = self._ctx.data_dir.parent
        staged = self._ctx.data_dir / staging_folder.NODE_FOLDER
        await asyncio.to_thread(staging_folder.fresh, staged)
        part.staged, part.made_at, part.missing = str(staged), iso(self._ctx.clock.now()), []
        part.folders = [FolderOf(NODE, str(data_folder), False)]
        try:
            await self._collect(run, part, data_folder, staged)
            manifest = written(part, run.backup_id, run.node, str(data_folder))
            await asyncio.to_thread(staging_folder.put, staged / MANIFEST, manifest)
            made = await self._restic.backup(
                run.repository,
                [str(data_folder)],  # our own files are in it
                host=run.node,
                tags=run.tags(part),
                exclude=[str(data_folder / name) for name in LEFT_OUT],
                told=lambda status: run.told(part, status),
            )
        finally:
            await asyncio.to_thread(staging_folder.remove, staged)
        part.snapshot, part.bytes, part.added, part.files = made.snapshot, made.bytes, made.added, made.files
        part.missing += made.unread
        part.status = "partial" if part.missing else "completed"
        part.error = None

    async def _collect(self, run: Run, part: Part, data_folder: Path, staged: Path) -> None:
        for name in EARLY:
            await asyncio.to_thread(staging_folder.copy, data_folder / name, staged / FILES / name)
        await asyncio.to_thread((staged / DATABASE).mkdir, mode=0o700)
        try:
            await copy_database(self._ctx, staged / DATABASE)
        except (CloudOSError, OSError) as error:
            part.missing.append(f"the database: {error}")
        try:
            key = await asyncio.to_thread((data_folder / "host.key").read_bytes)
            await asyncio.to_thread(staging_folder.put, staged / HOST_KEY, seal(run.password, key))
        except OSError as error:
            part.missing.append(f"the host's key: {error.strerror}")
        for source in self._ctx.all(BackupSource):
            await self._ask(source, staged / SOURCES, part)

    async def _ask(self, source: BackupSource, folder: Path, part: Part) -> None:
        """Have a plugin write what it has; what it raises is its own part missing, and no other."""
        name = "a plugin"
        try:
            name = str(source.name)
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
                raise ValueError("its name is no name of a folder")
            own = await asyncio.to_thread(staging_folder.fresh, folder / name)
            async with asyncio.timeout(_SOURCE_SECONDS):
                await source.write(str(own))
        except Exception as error:
            self._ctx.log.error("a plugin could not write its part of a backup", source=name, exc_info=error)
            part.missing.append(f"what {name} offers: {type(error).__name__}: {error}")
