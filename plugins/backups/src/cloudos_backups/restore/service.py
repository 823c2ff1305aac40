"""What people ask of restores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudos_sdk import Conflict, Context, InvalidRequest, new_id
from cloudos_sdk.capabilities import AppData, Apps
from sqlmodel import Session

from cloudos_backups.models import Backup
from cloudos_backups.restic.client import Restic
from cloudos_backups.restore.dry_run import DryRuns
from cloudos_backups.restore.fetcher import Fetcher
from cloudos_backups.restore.file_browser import check_good
from cloudos_backups.restore.files import split
from cloudos_backups.snapshots.manifest import Part
from cloudos_backups.snapshots.store import BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore


class Restores:
    """Begins restores, and says what one would change."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, restic: Restic) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._dry = DryRuns(ctx, restic)
        self._fetcher = Fetcher(ctx, restic)

    async def dry_run(self, backup_id: str, apps: Sequence[str] | None, name: str | None) -> dict[str, Any]:
        """Return what a restore would change."""
        backup, parts = await self._wanted(backup_id, apps, name)
        repository = await self._targets.repository(await self._targets.get(backup.target_id))
        found = [await self._dry.of(repository, part, name is not None) for part in parts]
        return {"backup_id": backup.id, "dry_run": True, "apps": found}

    async def begin(
        self, backup_id: str, apps: Sequence[str] | None, name: str | None, paths: Sequence[str] | None
    ) -> tuple[Backup, str, list[str]]:
        """Begin a restore; return the backup, the operation and the apps that come of it.

        What an app would be given beyond its own containers is asked of the caller here: an operation has nobody.
        """
        backup, parts = await self._wanted(backup_id, apps, name)
        if paths is not None:
            if name is not None or len(parts) != 1:
                raise InvalidRequest.field(
                    "paths", "are of one app, in its place: name it in `apps`, and leave out `as`"
                )
            for path in paths:
                split(parts[0], path)
        repository = await self._targets.repository(await self._targets.get(backup.target_id))
        data, made = self._ctx.use(AppData), {}
        for part in parts if paths is None else ():
            definition = await self._fetcher.definition(repository, part)
            contents = await data.contents(part.id)
            if name is None and contents is not None:
                await data.check(definition, part.id, None)
                continue
            making = "beside" if name is not None else "again"
            rights = await data.check(definition, part.id, making)  # type: ignore[arg-type] # one of the two
            made[part.id] = {
                "app_id": new_id("app") if name is not None else part.id,
                "name": name or part.name,
                "making": making,
                "rights": list(rights),
            }
        input = {"apps": [part.id for part in parts], "made": made, "paths": list(paths or ())}

        def begin(session: Session) -> str:
            what = ", ".join(part.name for part in parts)[:200]
            title = f"Restore {what}{f' as {name}' if name else ''} from {backup.target}"
            return self._ctx.operations.start(session, "backup_restore", backup.id, title, input)

        operation = await self._ctx.db.write(begin)
        return backup, operation, [str(made.get(part.id, {}).get("app_id", part.id)) for part in parts]

    async def _wanted(self, backup_id: str, apps: Sequence[str] | None, name: str | None) -> tuple[Backup, list[Part]]:
        backup = await self._store.get(backup_id)
        check_good(backup)
        there = [part for part in parts_of(backup) if part.kind == "app" and part.good]
        known = {key for part in there for key in (part.id, part.name)}
        if apps is not None and (unknown := [app for app in apps if app not in known]):
            raise InvalidRequest.field("apps", f"there is no app {unknown[0][:200]!r} in this backup")
        parts = [part for part in there if apps is None or part.id in apps or part.name in apps]
        if not parts:
            raise Conflict(
                "nothing_to_restore",
                "There is no app in this backup; the node itself is restored by `cloudos backups restore`.",
            )
        if name is not None:
            if len(parts) != 1:
                raise InvalidRequest.field("as", "is the name of one app: name it in `apps`")
            found = self._ctx.find(Apps)
            if found is not None and any(app.name == name for app in await found.list_apps()):
                raise Conflict("app_name_taken", f"There is an app named {name} already; choose another name.")
        return backup, parts
