"""The restore of a whole node on a machine where nothing of it is left: its folder, its database and its key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cloudos_sdk import Conflict, InvalidRequest, NotFound

from cloudos_backups.node.database_copy import POSTGRESQL, SQLITE
from cloudos_backups.node.encryption import unseal
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.errors import RepositoryDamaged
from cloudos_backups.restore.moves import remove
from cloudos_backups.settings import BackupsSettings
from cloudos_backups.snapshots.manifest import DATABASE, FILES, HOST_KEY, TAG
from cloudos_backups.snapshots.staging_folder import NODE_FOLDER, put
from cloudos_backups.targets.kinds import KINDS, read_config, repository_of, write_files
from cloudos_backups.targets.recovery_key import password_of

_INTERRUPTED = (
    "DELETE FROM backups_backup WHERE status IN ('queued', 'in_progress')",
    "DELETE FROM backups_restore WHERE finished_at IS NULL",
    "DELETE FROM host_operation WHERE plugin = 'backups' AND state IN ('queued', 'running')",
)
"""What was under way when the copy was made: it is not gone on with on another machine."""


@dataclass(frozen=True)
class RestoredNode:
    """What became of it: when its backup was made, and the dump to be read into PostgreSQL, where that was used."""

    made_at: datetime
    dump: Path | None


async def restore_node(target: Path, typed: str, folder: Path, program: Path | None = None) -> RestoredNode:
    """Restore the newest backup of a node into an empty folder, which it becomes whole or not at all."""
    if await asyncio.to_thread(_in_use, folder):
        raise Conflict("folder_not_empty", f"{folder} is not empty; a node is restored into a folder of its own.")
    kind, given = await asyncio.to_thread(_target, target)
    config, password = read_config(kind, given), password_of(typed)
    work = folder.parent / f".{folder.name}.restore"
    await asyncio.to_thread(remove, str(work))
    await asyncio.to_thread(work.mkdir, mode=0o700, parents=True)
    try:
        await asyncio.to_thread(write_files, kind, config, work / "access")
        repository = repository_of(kind, config, password, work / "access")
        settings = BackupsSettings(restic_program=program, cache_folder=work / "cache")
        context: Any = SimpleNamespace(settings=settings, data_dir=work)
        restic = Restic(context)
        await restic.open(repository)
        snapshots = await restic.snapshots(repository, TAG, "config")
        if not snapshots:
            raise NotFound("backup", "config", message="There is no backup of a node at this target.")
        newest = snapshots[-1]
        await restic.restore(repository, newest.id, str(work / "files"), [newest.paths[0]])
        root = work / "files" / newest.paths[0].lstrip("/")
        dump = await asyncio.to_thread(_put_together, root, password)
        await asyncio.to_thread(_place, root, folder)
        return RestoredNode(newest.time, folder / POSTGRESQL if dump else None)
    finally:
        await asyncio.to_thread(remove, str(work))


def _in_use(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _target(path: Path) -> tuple[str, dict[str, Any]]:
    """Return type and config: of a folder, or what a file says as the API takes it."""
    if not path.is_file():
        return "local", {"path": str(path.absolute())}
    try:
        found = json.loads(path.read_text())
        kind, config = found["type"], dict(found["config"])
    except (ValueError, KeyError, TypeError):
        kind, config = None, {}
    if kind not in KINDS:
        raise InvalidRequest(f'{path} is no target: write {{"type": "s3", "config": {{…}}}} as for the API.')
    return kind, config


def _put_together(root: Path, password: str) -> bool:
    """Make a node's folder of what its backup has; return whether its database is a dump of PostgreSQL."""
    own = root / "backups" / NODE_FOLDER
    try:
        key = unseal(password, (own / HOST_KEY).read_bytes())
    except (OSError, ValueError) as error:
        raise RepositoryDamaged(f"the key of the node cannot be read: {error}") from None
    put(root / "host.key", key)
    for early in sorted((own / FILES).iterdir()) if (own / FILES).is_dir() else ():
        early.rename(root / early.name)
    dumped = (own / DATABASE / POSTGRESQL).exists()
    found = POSTGRESQL if dumped else SQLITE
    if not (own / DATABASE / found).exists():
        raise RepositoryDamaged("the database of the node is not in its newest backup")
    (own / DATABASE / found).rename(root / found)
    if not dumped:
        with contextlib.closing(sqlite3.connect(root / found)) as database, database:
            for statement in _INTERRUPTED:
                database.execute(statement)
    remove(str(own))
    return dumped


def _place(root: Path, folder: Path) -> None:
    root.chmod(0o700)
    if folder.exists():
        folder.rmdir()
    root.rename(folder)
