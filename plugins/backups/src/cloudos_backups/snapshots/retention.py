"""How long backups are kept: a schedule's policy, applied by restic to each app; the newest good one always stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from cloudos_sdk import CloudOSError, Context

from cloudos_backups.models import Target
from cloudos_backups.restic.client import Restic
from cloudos_backups.snapshots.manifest import TAG
from cloudos_backups.snapshots.store import BackupStore, parts_of
from cloudos_backups.targets.store import TargetStore
from cloudos_backups.targets.turns import Turns

PERIODS = ("last", "daily", "weekly", "monthly", "yearly")


class Retention:
    """Forgets the backups of a schedule that its policy does not keep."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, restic: Restic, turns: Turns) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._restic = restic
        self._turns = turns

    async def apply(self, target: Target, schedule_id: str, keep: Mapping[str, int]) -> int:
        """Forget and prune; return how many snapshots went. Backups made by hand are not touched."""
        words = [f"--keep-{period}={keep[period]}" for period in PERIODS if keep.get(period)]
        if not words:
            return 0
        async with self._turns.turn(target.id):
            repository = await self._targets.repository(target)
            snapshots = await self._restic.snapshots(repository, TAG, f"schedule:{schedule_id}")
            parts = {tag for found in snapshots for tag in found.tags if tag == "config" or tag.startswith("app:")}
            kept = await self._newest_good(target)
            gone: set[str] = set()
            for part in sorted(parts):
                tags = [TAG, f"schedule:{schedule_id}", part]
                gone |= set(await self._restic.to_forget(repository, tags, words)) - kept
            if not gone:
                return 0
            await self._restic.forget(repository, sorted(gone), prune=True)
            await self._note(target, gone)
            try:
                await self._targets.change(target.id, size_bytes=await self._restic.size(repository))
            except CloudOSError as error:
                self._ctx.log.warning("a repository could not be measured", target=target.name, reason=error.message)
        return len(gone)

    async def _newest_good(self, target: Target) -> set[str]:
        """Return the newest whole snapshot of each part: later ones that miss something do not push it out."""
        found: dict[str, str] = {}
        for backup in await self._store.of_target(target.id):
            for part in parts_of(backup):
                if part.snapshot is not None and part.status == "completed":
                    found.setdefault(part.id, part.snapshot)
        return set(found.values())

    async def _note(self, target: Target, gone: set[str]) -> None:
        """Take what is gone out of the rows; a backup of which nothing is left goes with it."""
        left = defaultdict(list)
        for backup in await self._store.of_target(target.id):
            parts = parts_of(backup)
            if not gone & {part.snapshot for part in parts}:
                continue
            left[backup.id] = [part for part in parts if part.snapshot is not None and part.snapshot not in gone]
            if left[backup.id]:
                await self._store.change(backup.id, parts=left[backup.id])
            else:
                await self._store.drop(backup.id)
