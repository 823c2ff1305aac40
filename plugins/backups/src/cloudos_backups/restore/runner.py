"""The operation `backup_restore`: one app after another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cloudos_sdk import CloudOSError, Context, NotFound, Operation, to_the_end
from cloudos_sdk.capabilities import AppData

from cloudos_backups.events import BackupRestored, BackupRestoreFailed
from cloudos_backups.models import Backup, Restore
from cloudos_backups.restic.client import Restic
from cloudos_backups.restore.app_restore import AppRestore, Wanted
from cloudos_backups.restore.fetcher import Fetcher
from cloudos_backups.restore.files import FileRestore
from cloudos_backups.restore.store import RestoreStore
from cloudos_backups.snapshots.manifest import Part
from cloudos_backups.snapshots.store import BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore
from cloudos_backups.targets.turns import Turns


class RestoreFailed(CloudOSError):
    """502: some apps could not be restored; they are as they were before."""

    status = 502


class RestoreRunner:
    """Restores the apps of a backup."""

    def __init__(
        self, ctx: Context, store: BackupStore, targets: TargetStore, rows: RestoreStore, restic: Restic, turns: Turns
    ) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._rows = rows
        self._turns = turns
        self._fetcher = Fetcher(ctx, restic)
        self._restore = AppRestore(ctx, rows, restic)
        self._files = FileRestore(ctx, restic)

    def register(self) -> None:
        """Put back what a dead host left half done, and take up what it had not begun."""
        self._ctx.operations.register("backup_restore", self.run, audience="backups:read")

    async def run(self, operation: Operation) -> Mapping[str, Any] | None:
        """Restore each app; one that cannot be restored keeps no other from it."""
        try:
            backup = await self._store.get(operation.resource)
        except NotFound:
            return None
        wanted = [part for part in parts_of(backup) if part.kind == "app" and part.id in operation.input["apps"]]
        await operation.progress(0.0, f"Waiting for {backup.target}")
        restored, failed = [], []
        async with self._turns.turn(backup.target_id):
            rows = await self._rows.of(operation.id)
            for number, part in enumerate(wanted):
                made = dict(operation.input["made"].get(part.id) or {})
                app_id, name = str(made.get("app_id") or part.id), str(made.get("name") or part.name)
                async with self._turns.turn(app_id):
                    try:
                        row = rows.get(app_id)
                        done = await self._one(operation, backup, part, (app_id, name), made, row, number / len(wanted))
                    except (CloudOSError, OSError) as error:
                        failed.append(f"{name}: {error}")
                        await self._tell_failed(backup, app_id, name, str(error))
                    else:
                        restored += [{"app_id": app_id, "name": name, **done}]
        if failed:
            raise RestoreFailed("restore_failed", "; ".join(failed)[:2000], restored=restored)
        return {"backup_id": backup.id, "restored": restored}

    async def _one(
        self,
        operation: Operation,
        backup: Backup,
        part: Part,
        app: tuple[str, str],
        made: Mapping[str, Any],
        row: Restore | None,
        at: float,
    ) -> Mapping[str, Any]:
        if row is not None and row.phase == "done":
            return {}
        if row is not None and row.finished_at is None:
            await self._restore.undo(row)  # the host ended in the middle of it
        app_id, name = app
        share = 1 / max(1, len(operation.input["apps"]))

        def told(fraction: float, message: str) -> None:
            work = partial(operation.progress, at + share * fraction, message, app=app_id)
            self._ctx.tasks.start("progress of a restore", work, restart=False)

        target = await self._targets.get(backup.target_id)
        repository = await self._targets.repository(target)
        if operation.input["paths"]:
            kept = await self._files.run(repository, part, operation.input["paths"], operation.id)
            await self._tell(backup, app_id, name)
            return {"paths": operation.input["paths"], "kept": kept}
        definition = await self._fetcher.definition(repository, part)
        making = made.get("making")
        if making == "again" and await self._ctx.use(AppData).contents(app_id) is not None:
            making = None  # it came to be there meanwhile
        row = await self._rows.begin(operation.id, backup.id, app_id, making)
        wanted = Wanted(repository, part, definition, name, making, made.get("rights", ()), told)
        try:
            await self._restore.run(row, wanted)
        finally:
            if row.finished_at is None:
                self._ctx.tasks.start("restores to put back", self.put_back)
        await self._tell(backup, app_id, name)
        return {}

    async def _tell(self, backup: Backup, app_id: str, name: str) -> None:
        details = f"Restored {name} from the backup of {backup.started_at:%Y-%m-%d %H:%M}"
        told = BackupRestored(resource=backup.id, details=details, target=backup.target, app=app_id, name=name)
        await self._store.change(backup.id, told, target=backup.target)

    async def _tell_failed(self, backup: Backup, app_id: str, name: str, reason: str) -> None:
        told = BackupRestoreFailed(
            resource=backup.id,
            details=f"The restore of {name} failed; it is as it was before"[:500],
            target=backup.target,
            app=app_id,
            name=name,
            reason=reason[:1000],
        )
        await self._store.change(backup.id, told, target=backup.target)

    async def put_back(self) -> None:
        """Put back what was left half done: the host ended, or the engine was away when it was to be put back."""
        for id in [row.id for row in await self._rows.open()]:
            row = await self._rows.get(id)
            async with self._turns.turn(row.app_id):
                row = await self._rows.get(id)
                if row.finished_at is None:
                    await to_the_end(self._restore.undo(row))
