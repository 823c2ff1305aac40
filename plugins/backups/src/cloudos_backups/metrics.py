"""What is measured: how old the newest good backup of each app is, and how large the repositories are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cloudos_sdk import Context
from cloudos_sdk.capabilities import Apps, Metric, Sample

from cloudos_backups.schedule.cron import interval
from cloudos_backups.schedule.store import ScheduleStore, plan_of
from cloudos_backups.snapshots.store import BackupStore
from cloudos_backups.targets.store import TargetStore

_METRICS = (
    Metric("backup.app.age_hours", "hours", "Age of the newest good backup of an app", ("app",)),
    Metric("backup.app.overdue", "ratio", "Age of that backup, in times the interval of its schedule", ("app",)),
    Metric("backup.schedule.failures", "backups", "Failures of a schedule in a row", ("schedule",)),
    Metric("backup.target.size_bytes", "bytes", "Data in a repository, as measured last", ("target",)),
    Metric("backup.target.damaged", "boolean", "1 where a check found damage", ("target",)),
)


class BackupMetrics:
    """Offers the series of backups to the node."""

    def __init__(self, ctx: Context, store: BackupStore, targets: TargetStore, schedules: ScheduleStore) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets
        self._schedules = schedules

    def metrics(self) -> Sequence[Metric]:
        """Return what is measured."""
        return _METRICS

    async def sample(self) -> Sequence[Sample]:
        """Measure now, from the rows."""
        found = self._ctx.find(Apps)
        installed = {app.id: app for app in await found.list_apps()} if found is not None else {}
        states = {state.app_id: state for state in await self._store.apps()}
        now, samples = self._ctx.clock.now(), []
        rows = await self._schedules.all()
        for app_id in installed:
            state = states.get(app_id)
            last = state.last_backup_at if state is not None else None
            if last is not None:
                hours = max(0.0, (now - last).total_seconds() / 3600)
                samples.append(_sample("backup.app.age_hours", hours, app=app_id))
            overdue: list[float] = []
            for row in rows:
                plan = plan_of(row)
                if not plan["enabled"] or (plan["apps"] is not None and app_id not in plan["apps"]):
                    continue
                since = max(last or row.created_at, row.created_at)
                every = interval(plan["cron"], plan["time_zone"], since)
                window = timedelta(minutes=plan["window_minutes"])
                overdue.append(max(0.0, (now - since) / (every + window)))
            if overdue:
                samples.append(_sample("backup.app.overdue", min(overdue), app=app_id))
        for row in rows:
            samples.append(_sample("backup.schedule.failures", row.failures, schedule=row.name))
        for target in await self._targets.all():
            if target.size_bytes is not None:
                samples.append(_sample("backup.target.size_bytes", target.size_bytes, target=target.name))
            samples.append(_sample("backup.target.damaged", float(target.health == "damaged"), target=target.name))
        return samples


def _sample(name: str, value: float, **labels: str) -> Sample:
    return Sample(name, float(value), tuple(sorted(labels.items())))
