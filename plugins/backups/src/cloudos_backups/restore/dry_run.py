"""What a restore would change: each folder of the backup compared with what is there now."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudos_sdk import Context
from cloudos_sdk.capabilities import AppData

from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.repository import Repository
from cloudos_backups.restore.fetcher import Fetcher
from cloudos_backups.snapshots.manifest import FolderOf, Part

_SHOWN = 20
_SAME_TIME = 0.002  # seconds by which times of one file may differ
_KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}


class DryRuns:
    """Compares backups with what there is; changes nothing."""

    def __init__(self, ctx: Context, restic: Restic) -> None:
        self._ctx = ctx
        self._restic = restic
        self._fetcher = Fetcher(ctx, restic)

    async def of(self, repository: Repository, part: Part, beside: bool) -> dict[str, Any]:
        """Return what the restore of an app would change."""
        contents = await self._ctx.use(AppData).contents(part.id)
        there = {folder.name: folder.path for folder in contents.folders} if contents is not None else {}
        makes = beside or contents is None
        folders = []
        for folder in part.folders:
            path = "" if makes else there.get(folder.name, "")
            folders.append(await self._folder(repository, part, folder, path))
        places = [path for path in there.values() if path] or [str(self._ctx.data_dir)]
        definition = await self._fetcher.definition(repository, part)
        return {
            "app_id": part.id,
            "name": part.name,
            "makes_app": makes,
            "changes_settings": contents is not None and not makes and contents.definition != definition,
            "folders": folders,
            "dumps": list(part.dumps),
            "needed_bytes": part.bytes,
            "free_bytes": await asyncio.to_thread(_free, places[0]),
        }

    async def _folder(self, repository: Repository, part: Part, folder: FolderOf, path: str) -> dict[str, Any]:
        now = await asyncio.to_thread(_walk, path) if path else {}
        added: list[str] = []
        changed: list[str] = []
        kept: set[str] = set()
        counts = {"added": 0, "changed": 0}
        async for node in self._restic.nodes(repository, part.snapshot or "", folder.path, deep=True):
            name = node.path[len(folder.path) + 1 :]
            if not node.path.startswith(folder.path + "/"):
                continue
            found = now.get(name)
            kept.add(name)
            if found is None:
                counts["added"] += 1
                added += [name] if len(added) < _SHOWN else []
            elif not _same(node.type, node.size, node.changed_at, found):
                counts["changed"] += 1
                changed += [name] if len(changed) < _SHOWN else []
        removed = sorted(name for name in now if name not in kept)
        return {
            "name": folder.name,
            "path": path,
            **counts,
            "removed": len(removed),
            "first_added": added,
            "first_changed": changed,
            "first_removed": removed[:_SHOWN],
        }


def _same(kind: str, size: int, changed_at: float, found: tuple[int, int, float]) -> bool:
    mode, there, time = found
    if _KINDS.get(kind) != mode:
        return kind not in _KINDS
    return kind != "file" or (size == there and abs(changed_at - time) < _SAME_TIME)


def _walk(path: str) -> Mapping[str, tuple[int, int, float]]:
    """Return every file and folder below a path, with kind, size and time; follows no link."""
    found: dict[str, tuple[int, int, float]] = {}
    for here, folders, files in os.walk(path):
        for name in (*folders, *files):
            place = Path(here, name)
            try:
                about = place.lstat()
            except OSError:
                continue  # it went meanwhile
            found[str(place)[len(path) + 1 :]] = (stat.S_IFMT(about.st_mode), about.st_size, about.st_mtime)
    return found


def _free(path: str) -> int | None:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None
