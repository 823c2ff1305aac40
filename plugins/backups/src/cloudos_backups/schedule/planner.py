"""The schedules at work: what is due is begun, what was missed is made up once, and what follows a backup is done."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

from cloudos_sdk import CloudOSError, Context

from cloudos_backups.models import Schedule
from cloudos_backups.proof.prover import Prover
from cloudos_backups.schedule.clock import starts_at
from cloudos_backups.schedule.cron import next_due
from cloudos_backups.schedule.store import ScheduleStore, plan_of
from cloudos_backups.snapshots.retention import Retention
from cloudos_backups.snapshots.service import Backups
from cloudos_backups.snapshots.store import OPEN, BackupStore
from cloudos_backups.targets.service import Targets
from cloudos_backups.targets.store import TargetStore

_LOOK = 15.0  # seconds between two looks at the schedules
_WAIT = 5.0
_CHECK_EVERY = timedelta(days=7)


class Planner:
    """Begins the backups of schedules, one run of each at a time."""

    def __init__(
        self,
        ctx: Context,
        store: ScheduleStore,
        targets: TargetStore,
        service: Targets,
        backups: Backups,
        rows: BackupStore,
        retention: Retention,
        prover: Prover,
    ) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._service = service
        self._backups = backups
        self._rows = rows
        self._retention = retention
        self._prover = prover
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look at the schedules now and then."""
        while True:
            await self.look()
            await self._ctx.clock.sleep(_LOOK)

    async def look(self) -> None:
        """Begin what is due. A time that passed while the host was down is made up once, however many there were."""
        now = self._ctx.clock.now()
        for row in await self._store.all():
            plan = plan_of(row)
            if not plan["enabled"] or row.starts_at is None or row.starts_at > now or self._is_running(row.id):
                continue
            due = next_due(plan["cron"], plan["time_zone"], now)
            start = starts_at(due, plan["window_minutes"])
            await self._store.change(row.id, due_at=due, starts_at=start, last_started_at=now)
            self._running[row.id] = self._ctx.tasks.start(
                f"schedule {row.name}", partial(self.make, row, plan), restart=False
            )

    def _is_running(self, id: str) -> bool:
        task = self._running.get(id)
        return task is not None and not task.done()

    async def make(self, row: Schedule, plan: dict[str, Any]) -> None:
        """Make the backups of a schedule, then forget old ones, check and prove."""
        good = [await self._at(row, plan, id) for id in plan["targets"]]
        await self._store.ended(row.id, good=all(good), at=self._ctx.clock.now())
        checked = row.checked_at
        if plan["check"] and (checked is None or self._ctx.clock.now() - checked >= _CHECK_EVERY):
            await self._store.change(row.id, checked_at=self._ctx.clock.now())
            for id in plan["targets"]:
                await self._guarded(row, "check", self._service.check(id, self._ctx.settings.check_percent))
        if plan["prove"]:
            await self._guarded(row, "proof", self._prover.prove_next(plan["targets"], plan["apps"]))

    async def _at(self, row: Schedule, plan: dict[str, Any], target_id: str) -> bool:
        """Make a schedule's backup at one target; return whether it is whole."""
        try:
            target = await self._targets.get(target_id)
            backup = await self._backups.create(
                target, plan["apps"], include_config=plan["include_config"], schedule=(row.id, row.name)
            )
        except CloudOSError as error:
            self._ctx.log.error("a scheduled backup could not be begun", schedule=row.name, reason=error.message)
            return False
        while (status := (await self._rows.get(backup.id)).status) in OPEN:
            await self._ctx.clock.sleep(_WAIT)
        if status in ("completed", "partial"):
            await self._guarded(row, "retention", self._retention.apply(target, row.id, plan["retention"]))
        return status == "completed"

    async def _guarded(self, row: Schedule, what: str, work: Any) -> None:
        try:
            await work
        except CloudOSError as error:
            self._ctx.log.warning("what follows a backup failed", schedule=row.name, what=what, reason=error.message)
