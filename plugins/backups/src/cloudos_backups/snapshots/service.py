"""What people ask of backups: make one, list them, remove one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Conflict, Context, InvalidRequest, Operation, new_id
from cloudos_sdk.capabilities import Apps
from sqlmodel import Session

from cloudos_backups.events import BackupCreated, BackupDeleted
from cloudos_backups.models import Backup, Target
from cloudos_backups.node.identity import node_name
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.errors import RepositoryMissing
from cloudos_backups.snapshots.manifest import Part, packed
from cloudos_backups.snapshots.store import OPEN, BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore
from cloudos_backups.targets.turns import Turns


class Backups:
    """The backups of this node."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, restic: Restic, turns: Turns) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._restic = restic
        self._turns = turns

    def register(self) -> None:
        """Take up removals that a dead host left."""
        self._ctx.operations.register("backup_prune", self._prune, audience="backups:read")

    async def create(
        self,
        target: Target,
        apps: Sequence[str] | None,
        *,
        include_config: bool,
        schedule: tuple[str, str] | None = None,
    ) -> Backup:
        """Begin a backup of apps, of all where none are named. Raises InvalidRequest."""
        await self._restic.version()
        names = await self._names(apps, strict=schedule is None)
        if not names and not include_config:
            raise InvalidRequest("There is nothing to back up: there are no apps, and include_config is false.")
        parts = [Part("app", id, name) for id, name in names.items()]
        parts += [Part("config", "config", "the node")] if include_config else []
        now, node = self._ctx.clock.now(), await node_name(self._ctx)
        schedule_id, schedule_name = schedule or (None, None)
        values: dict[str, Any] = {
            "id": new_id("bak"),
            "target_id": target.id,
            "target": target.name,
            "status": "queued" if self._turns.busy(target.id) else "in_progress",
            "apps": orjson.dumps(list(names)).decode(),
            "include_config": include_config,
            "parts": packed(parts),
            "schedule_id": schedule_id,
            "size_bytes": 0,
            "added_bytes": 0,
            "files": 0,
            "node": node,
            "started_at": now,
        }

        def begin(session: Session) -> Backup:
            title = f"Back up to {target.name}"
            values["operation_id"] = self._ctx.operations.start(session, "backup", values["id"], title, {})
            what = f"Backup of {schedule_name}" if schedule_name else "Manual backup"
            told = BackupCreated(
                resource=values["id"],
                details=f"{what} to {target.name}",
                target=target.name,
                apps=list(names),
                schedule=schedule_id,
            )
            self._ctx.events.emit(session, told)
            return self._store.insert(session, values)

        return await self._ctx.db.write(begin)

    async def _names(self, apps: Sequence[str] | None, *, strict: bool) -> dict[str, str]:
        found = self._ctx.find(Apps)
        there = {app.id: app for app in await found.list_apps()} if found is not None else {}
        if apps is None:
            return {id: app.name for id, app in there.items() if app.status not in ("installing", "failed")}
        if strict and (unknown := [id for id in apps if id not in there]):
            raise InvalidRequest.field("apps", f"there is no app {unknown[0][:200]!r}")
        return {id: there[id].name if id in there else id for id in dict.fromkeys(apps)}

    async def delete(self, backup_id: str) -> None:
        """Remove a backup: its snapshots at once, the data that nothing else needs with the next prune."""
        backup = await self._store.get(backup_id)
        if backup.status in OPEN:
            raise Conflict("backup_in_progress", "The backup is being made; cancel its operation first.")
        snapshots = [part.snapshot for part in parts_of(backup) if part.snapshot is not None]
        details = f"Removed the backup of {backup.started_at:%Y-%m-%d %H:%M} at {backup.target}"
        told = BackupDeleted(resource=backup.id, details=details, target=backup.target)
        if snapshots:
            target = await self._targets.get(backup.target_id)
            if self._turns.busy(target.id):
                raise Conflict("target_busy", f"Something works on {target.name} now; wait for its end.")
            async with self._turns.turn(target.id):
                repository = await self._targets.repository(target)
                try:
                    there = {snapshot.id for snapshot in await self._restic.snapshots(repository)}
                    await self._restic.forget(repository, [id for id in snapshots if id in there], prune=False)
                except RepositoryMissing:
                    pass  # with the repository all of it is gone
        await self._store.drop(backup.id, told)

    async def begin_prune(self, target_id: str) -> str:
        """Begin to remove the data at a target that no backup needs; return the operation."""
        target = await self._targets.get(target_id)

        def begin(session: Session) -> str:
            return self._ctx.operations.start(session, "backup_prune", target.id, f"Tidy up {target.name}", {})

        return await self._ctx.db.write(begin)

    async def _prune(self, operation: Operation) -> Mapping[str, Any] | None:
        try:
            target = await self._targets.get(operation.resource)
        except CloudOSError:
            return None
        async with self._turns.turn(target.id):
            repository = await self._targets.repository(target)
            await operation.progress(0.1, f"Removing what no backup at {target.name} needs")
            await self._restic.forget(repository, [], prune=True)
            size = await self._restic.size(repository)
            await self._targets.change(target.id, size_bytes=size)
            return {"size_bytes": size}
