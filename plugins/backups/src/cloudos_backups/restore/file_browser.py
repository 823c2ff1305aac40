"""Looking into a backup: its folders, and the content of its files."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncGenerator
from typing import Any

from cloudos_sdk import Conflict, Context, Forbidden, NotFound, Role, principal
from sqlmodel import Session

from cloudos_backups.events import BackupFileRead
from cloudos_backups.models import Backup
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.messages import Node
from cloudos_backups.restic.repository import Repository
from cloudos_backups.restore.paths import Place, find, shown_path
from cloudos_backups.snapshots.manifest import Part
from cloudos_backups.snapshots.store import GOOD, BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore

_MOST_LISTED = 10_000


class FileBrowser:
    """Reads the files of backups. Those of the node are admins' alone: there are password hashes among them."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, restic: Restic) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._restic = restic

    async def listing(self, backup_id: str, shown: str) -> list[dict[str, Any]]:
        """Return what is directly in a folder of a backup, or the file itself."""
        backup, place = await self._place(backup_id, shown)
        if place.path is None:
            root = f"/{place.part.id}" if place.part is not None else ""
            return [_folder(f"{root}/{name}", title) for name, title in place.below]
        repository, part = await self._repository(backup), _part(place)
        found: dict[str, Node] = {}
        async for node in self._restic.nodes(repository, part.snapshot or "", place.path):
            if node.path == place.path or posixpath.dirname(node.path) == place.path:
                found[node.path] = node
            if len(found) > _MOST_LISTED:
                break
        own = found.pop(place.path, None)
        if own is None and not found:
            raise NotFound("file", shown, message=f"There is no {shown!r} in this backup.")
        if own is not None and own.type != "dir":
            found = {own.path: own}
        return [_file(part, node) for node in sorted(found.values(), key=lambda node: (node.type != "dir", node.name))]

    async def content(self, backup_id: str, shown: str) -> tuple[str, str, AsyncGenerator[bytes, None]]:
        """Return the name, type and content of a file, or of a folder as a tar archive."""
        backup, place = await self._place(backup_id, shown)
        if place.path is None:
            raise Conflict("not_a_file", f"{shown} is made of several parts; download one of those below it.")
        repository, part = await self._repository(backup), _part(place)
        node: Node | None = None
        async for found in self._restic.nodes(repository, part.snapshot or "", place.path):
            if found.path == place.path:
                node = found
                break
        if node is None or node.type not in ("file", "dir"):
            raise NotFound("file", shown, message=f"There is no file {shown!r} in this backup.")
        name = posixpath.basename(shown.rstrip("/"))
        details = f"Downloaded {shown} of a backup at {backup.target}"[:500]
        told = BackupFileRead(resource=backup.id, details=details, target=backup.target, path=shown)

        def tell(session: Session) -> None:
            self._ctx.events.emit(session, told)

        await self._ctx.db.write(tell)
        archive = "tar" if node.type == "dir" else None
        chunks = self._restic.content(repository, part.snapshot or "", place.path, archive)
        return (f"{name}.tar", "application/x-tar", chunks) if archive else (name, "application/octet-stream", chunks)

    async def _place(self, backup_id: str, shown: str) -> tuple[Backup, Place]:
        backup = await self._store.get(backup_id)
        check_good(backup)
        place = find(parts_of(backup), shown)
        if place.part is not None and place.part.kind == "config" and not _is_admin():
            raise Forbidden("The files of the node itself are for admins.", code="admin_required")
        return backup, place

    async def _repository(self, backup: Backup) -> Repository:
        return await self._targets.repository(await self._targets.get(backup.target_id))


def check_good(backup: Backup) -> None:
    """Raise Conflict for a backup of which there is nothing to restore."""
    if backup.status not in GOOD:
        what = "is still being made" if backup.status in ("queued", "in_progress") else f"has {backup.status}"
        what = "was cancelled" if backup.status == "cancelled" else what
        raise Conflict("backup_not_restorable", f"This backup {what}; take another one.", status=backup.status)


def _is_admin() -> bool:
    who = principal()
    return who.role is Role.ADMIN and (who.scopes is None or "backup_settings:write" in who.scopes)


def _part(place: Place) -> Part:
    if place.part is None:
        raise NotFound("file", "/")
    return place.part


def _folder(path: str, name: str) -> dict[str, Any]:
    return {"path": path, "name": name, "type": "dir", "size": 0, "modified_at": None}


def _file(part: Part, node: Node) -> dict[str, Any]:
    return {
        "path": shown_path(part, node.path),
        "name": node.name,
        "type": node.type,
        "size": node.size,
        "modified_at": node.mtime or None,
    }
