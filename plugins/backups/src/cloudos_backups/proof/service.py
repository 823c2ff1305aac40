"""A proof that somebody asks for: an operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudos_sdk import Conflict, Context, NotFound, Operation
from sqlmodel import Session

from cloudos_backups.models import Backup
from cloudos_backups.proof.prover import Prover
from cloudos_backups.snapshots.manifest import Part
from cloudos_backups.snapshots.store import BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore


class Proofs:
    """Begins proofs."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, prover: Prover) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._prover = prover

    def register(self) -> None:
        """Take up what a dead host left."""
        self._ctx.operations.register("backup_proof", self._run, audience="backups:read")

    async def begin(self, app_id: str) -> str:
        """Begin to prove the newest whole backup of an app; return the operation. Raises NotFound."""
        backup, part = await self._newest(app_id)

        def begin(session: Session) -> str:
            title = f"Prove the backup of {part.name}"
            return self._ctx.operations.start(session, "backup_proof", app_id, title, {"backup": backup.id})

        return await self._ctx.db.write(begin)

    async def _newest(self, app_id: str) -> tuple[Backup, Part]:
        found = []
        for target in await self._targets.all():
            for backup in await self._store.of_target(target.id):
                found += [
                    (backup, part) for part in parts_of(backup) if part.id == app_id and part.status == "completed"
                ]
        if not found:
            raise NotFound("backup", app_id, message=f"There is no whole backup of the app {app_id[:200]!r}.")
        return max(found, key=lambda pair: pair[0].started_at)

    async def _run(self, operation: Operation) -> Mapping[str, Any] | None:
        try:
            backup = await self._store.get(str(operation.input["backup"]))
        except NotFound:
            return None
        part = next((part for part in parts_of(backup) if part.id == operation.resource), None)
        if part is None or not part.good:
            raise Conflict("backup_gone", "The backup is not there any more.")
        await operation.progress(0.1, f"Restoring {part.name} beside itself")
        await self._prover.prove(backup, part)
        return {"app_id": part.id, "backup_id": backup.id}
