"""The backups of another node, or of this one before its database was lost: read from a repository into rows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Context, NotFound, Operation
from sqlmodel import Session

from cloudos_backups.models import Backup, Target
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.messages import Snapshot
from cloudos_backups.restic.repository import Repository
from cloudos_backups.snapshots.manifest import MANIFEST, TAG, Manifest, Part, packed, read
from cloudos_backups.snapshots.staging_folder import FOLDER, NODE_FOLDER
from cloudos_backups.snapshots.store import BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore
from cloudos_backups.targets.turns import Turns

_SOUND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}")


class Adoptions:
    """Reads what the snapshots of a target say of themselves."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, restic: Restic, turns: Turns) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._restic = restic
        self._turns = turns

    def register(self) -> None:
        """Take up what a dead host left."""
        self._ctx.operations.register("backup_adoption", self._run, audience="backups:read")

    async def begin(self, target: Target) -> str:
        """Begin to read the backups at a target; return the operation."""

        def begin(session: Session) -> str:
            return self._ctx.operations.start(
                session, "backup_adoption", target.id, f"Read the backups at {target.name}", {}
            )

        return await self._ctx.db.write(begin)

    async def _run(self, operation: Operation) -> Mapping[str, Any] | None:
        try:
            target = await self._targets.get(operation.resource)
        except NotFound:
            return None
        adopted = 0
        unread: list[str] = []
        async with self._turns.turn(target.id):
            repository = await self._targets.repository(target)
            backups: defaultdict[str, list[Snapshot]] = defaultdict(list)
            for snapshot in await self._restic.snapshots(repository, TAG):
                backups[_tagged(snapshot, "backup:")].append(snapshot)
            for number, (id, snapshots) in enumerate(backups.items()):
                await operation.progress(number / len(backups), f"Reading backup {number + 1} of {len(backups)}")
                try:
                    await self._store.get(id)
                except NotFound:
                    found = [await self._read(repository, snapshot, unread) for snapshot in snapshots]
                    manifests = [manifest for manifest in found if manifest is not None]
                    if manifests:
                        await self._add(target, id, snapshots, manifests)
                        adopted += 1
        await self._note_newest(target)
        return {"target": target.name, "backups": adopted, "unread": unread}

    async def _read(self, repository: Repository, snapshot: Snapshot, unread: list[str]) -> Manifest | None:
        """Return what a snapshot says of itself; None, and its id in `unread`, where that cannot be read."""
        app = _tagged(snapshot, "app:")
        staged = [path for path in snapshot.paths if app and path.endswith(f"/{FOLDER}/{app}")]
        own = staged[0] if staged else f"{next(iter(snapshot.paths), '')}/{self._ctx.data_dir.name}/{NODE_FOLDER}"
        try:
            content = self._restic.content(repository, snapshot.id, f"{own}/{MANIFEST}")
            found = read(b"".join([piece async for piece in content]))
            _check(found.part, app)
            size, files = await self._restic.size_of(repository, snapshot.id)
        except (CloudOSError, ValueError, KeyError, TypeError) as error:
            self._ctx.log.warning("a snapshot cannot be adopted", snapshot=snapshot.id, reason=str(error))
            unread.append(snapshot.id)
            return None
        part = found.part
        part.snapshot, part.bytes, part.files, part.error = snapshot.id, size, files, None
        part.status = "partial" if part.missing else "completed"
        return found

    async def _add(self, target: Target, id: str, snapshots: Sequence[Snapshot], found: Sequence[Manifest]) -> None:
        parts = [manifest.part for manifest in found]
        whole = len(found) == len(snapshots) and all(part.status == "completed" for part in parts)
        times = [snapshot.time.astimezone(UTC) for snapshot in snapshots]
        values = {
            "id": id,
            "target_id": target.id,
            "target": target.name,
            "status": "completed" if whole else "partial",
            "apps": orjson.dumps([part.id for part in parts if part.kind == "app"]).decode(),
            "include_config": any(part.kind == "config" for part in parts),
            "parts": packed(parts),
            "size_bytes": sum(part.bytes for part in parts),
            "added_bytes": 0,
            "files": sum(part.files for part in parts),
            "node": found[0].node,
            "started_at": min(times),
            "finished_at": max(times),
        }
        await self._ctx.db.write(lambda session: self._store.insert(session, values))

    async def _note_newest(self, target: Target) -> None:
        """Note the newest whole backup of each app that has none which is newer."""
        known = {state.app_id: state.last_backup_at for state in await self._store.apps()}
        newest: dict[str, tuple[Backup, Part]] = {}
        for backup in await self._store.of_target(target.id):
            for part in parts_of(backup):
                if part.kind == "app" and part.status == "completed":
                    newest.setdefault(part.id, (backup, part))
        for app, (backup, part) in newest.items():
            before = known.get(app)
            if before is None or before < backup.started_at:
                await self._store.note_good(app, part.name, backup.id, backup.started_at)


def _check(part: Part, app: str) -> None:
    """Raise ValueError for names that are none: the repository may be anybody's, and they become paths and ids."""
    if (part.kind, part.id) != (("app", app) if app else ("config", part.id)):
        raise ValueError("it is not what its tags say")
    names = [part.id, *part.dumps, *(folder.name for folder in part.folders), *([part.name] if app else [])]
    for name in names:
        if not isinstance(name, str) or not _SOUND.fullmatch(name):
            raise ValueError(f"{name!r:.100} is no name")


def _tagged(snapshot: Snapshot, prefix: str) -> str:
    """Return what follows a prefix in the tags of a snapshot."""
    return next((tag.removeprefix(prefix) for tag in snapshot.tags if tag.startswith(prefix)), "")
