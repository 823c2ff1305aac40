"""The proof: an app is restored beside itself from its newest backup, started, found well, compared, and removed."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cloudos_sdk import CloudOSError, Context, new_id
from cloudos_sdk.capabilities import AppContents, AppData

from cloudos_backups.events import BackupProofFailed, BackupProved
from cloudos_backups.models import Backup
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.repository import Repository
from cloudos_backups.restore.app_restore import AppRestore, Wanted
from cloudos_backups.restore.fetcher import Fetcher
from cloudos_backups.restore.store import RestoreStore
from cloudos_backups.snapshots.manifest import Part
from cloudos_backups.snapshots.store import BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore
from cloudos_backups.targets.turns import Turns


class NotAsItWas(CloudOSError):
    """502: what was restored is not what was backed up."""

    status = 502

    def __init__(self, why: str) -> None:
        super().__init__("proof_failed", why)


class Prover:
    """Proves the backups of one app after another."""

    def __init__(
        self, ctx: Context, store: BackupStore, targets: TargetStore, rows: RestoreStore, restic: Restic, turns: Turns
    ) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._rows = rows
        self._restic = restic
        self._turns = turns
        self._fetcher = Fetcher(ctx, restic)
        self._restore = AppRestore(ctx, rows, restic)

    async def prove_next(self, targets: Sequence[str], apps: Sequence[str] | None) -> str | None:
        """Prove the app whose turn it is: the one that was tried longest ago; return its id."""
        tried = {state.app_id: state.proof_tried_at for state in await self._store.apps()}
        found: dict[str, tuple[Backup, Part]] = {}
        for target in targets:
            for backup in await self._store.of_target(target):
                for part in parts_of(backup):
                    wanted = apps is None or part.id in apps
                    if part.kind == "app" and part.status == "completed" and wanted:
                        found.setdefault(part.id, (backup, part))
        if not found:
            return None
        data = self._ctx.use(AppData)
        there = [id for id in found if await data.contents(id) is not None]
        if not there:
            return None
        chosen = min(there, key=lambda id: (tried.get(id) is not None, tried.get(id) or self._ctx.clock.now(), id))
        await self.prove(*found[chosen])
        return chosen

    async def prove(self, backup: Backup, part: Part) -> None:
        """Prove one app; note how that went. Raises what went wrong."""
        error: str | None = None
        try:
            async with self._turns.turn(backup.target_id), asyncio.timeout(self._ctx.settings.proof_seconds):
                await self._prove(backup, part)
        except TimeoutError:
            error = f"It took longer than {self._ctx.settings.proof_seconds:g} s."
        except (CloudOSError, OSError) as failure:
            error = str(failure)
        now, name = self._ctx.clock.now(), part.name
        await self._store.note_proof(part.id, name, now, error)
        if error is None:
            details = f"Proved the backup of {name} at {backup.target}"
            proved = BackupProved(resource=backup.id, details=details, target=backup.target, app=part.id, name=name)
            await self._store.change(backup.id, proved, target=backup.target)
            return
        failed = BackupProofFailed(
            resource=backup.id,
            details=f"The backup of {name} could not be proved: {error}"[:500],
            target=backup.target,
            app=part.id,
            name=name,
            reason=error[:1000],
        )
        await self._store.change(backup.id, failed, target=backup.target)
        raise NotAsItWas(error)

    async def _prove(self, backup: Backup, part: Part) -> None:
        trial = new_id("app")
        repository = await self._targets.repository(await self._targets.get(backup.target_id))
        definition = await self._fetcher.definition(repository, part)
        row = await self._rows.begin(f"proof:{trial}", backup.id, trial, "trial")
        look = partial(self._compare, repository, part)
        await self._restore.run(row, Wanted(repository, part, definition, f"proof-{trial[4:]}", "trial", placed=look))

    async def _compare(self, repository: Repository, part: Part, contents: AppContents) -> None:
        """Compare what was restored with the snapshot, file by file: names, kinds and sizes."""
        there = {folder.name: folder.path for folder in contents.folders}
        for folder in part.folders:
            found = await asyncio.to_thread(_sizes, there[folder.name])
            async for node in self._restic.nodes(repository, part.snapshot or "", folder.path, deep=True):
                if not node.path.startswith(folder.path + "/"):
                    continue
                name = node.path[len(folder.path) + 1 :]
                size = found.pop(name, None)
                if size is None or (node.type == "file" and size != node.size):
                    raise NotAsItWas(f"{folder.name}/{name} is not as it was backed up")
            if found:
                raise NotAsItWas(f"{folder.name}/{next(iter(found))} was not backed up")


def _sizes(path: str) -> dict[str, int]:
    found = {}
    for here, folders, files in os.walk(path):
        for name in (*folders, *files):
            place = Path(here, name)
            about = place.lstat()
            found[str(place)[len(path) + 1 :]] = about.st_size if stat.S_ISREG(about.st_mode) else 0
    return found
