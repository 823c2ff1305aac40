"""What people ask of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from cloudos_sdk import Context, InvalidRequest, NotFound, new_id
from cloudos_sdk.capabilities import Apps

from cloudos_backups.events import BackupScheduleChanged
from cloudos_backups.models import Schedule
from cloudos_backups.schedule.clock import starts_at
from cloudos_backups.schedule.cron import check, next_due
from cloudos_backups.schedule.store import ScheduleStore, plan_of
from cloudos_backups.targets.store import TargetStore


class Schedules:
    """The schedules of this node."""

    def __init__(self, ctx: Context, store: ScheduleStore, targets: TargetStore) -> None:
        self._ctx = ctx
        self._store = store
        self._targets = targets

    async def shown(self) -> list[dict[str, Any]]:
        """Return the schedules as the API shows them, targets by name."""
        names = {target.id: target.name for target in await self._targets.all()}
        return [self._shown(row, names) for row in await self._store.all()]

    @staticmethod
    def _shown(row: Schedule, names: dict[str, str]) -> dict[str, Any]:
        plan = plan_of(row)
        return {
            **plan,
            "id": row.id,
            "name": row.name,
            "targets": [names.get(id, id) for id in plan["targets"]],
            "next_run_at": row.starts_at if plan["enabled"] else None,
            "last_run_at": row.last_started_at,
            "last_success_at": row.last_succeeded_at,
            "failures": row.failures,
        }

    async def replace(self, wanted: Sequence[dict[str, Any]]) -> None:
        """Put these schedules in the place of all. Raises InvalidRequest that names the field."""
        found = self._ctx.find(Apps)
        apps = {app.id for app in await found.list_apps()} if found is not None else set()
        now = self._ctx.clock.now()
        rows: list[dict[str, Any]] = []
        there = {row.id: row for row in await self._store.all()}
        for number, given in enumerate(wanted):
            where, plan = f"schedules.{number}", dict(given)
            id, name = plan.pop("id"), plan.pop("name")
            check(plan["cron"], plan["time_zone"], where)
            if id is not None and (id not in there or id in [row["id"] for row in rows]):
                raise InvalidRequest.field(f"{where}.id", f"there is no other schedule {id[:200]!r}")
            if name in [row["name"] for row in rows]:
                raise InvalidRequest.field(f"{where}.name", f"two schedules are named {name}")
            plan["targets"] = [await self._target(target, where) for target in dict.fromkeys(plan["targets"])]
            known = plan_of(there[id])["apps"] or [] if id is not None else []
            if unknown := [app for app in plan["apps"] or () if app not in apps and app not in known]:
                raise InvalidRequest.field(f"{where}.apps", f"there is no app {unknown[0][:200]!r}")
            if plan["apps"] == [] and not plan["include_config"]:
                raise InvalidRequest.field(f"{where}.apps", "name an app, or leave them out for all")
            old = there.get(id) if id is not None else None
            same = old is not None and all(plan_of(old)[key] == plan[key] for key in ("cron", "time_zone", "enabled"))
            due = old.due_at if same and old is not None else next_due(plan["cron"], plan["time_zone"], now)
            start = old.starts_at if same and old is not None else starts_at(due, plan["window_minutes"])
            rows.append(
                {
                    "id": id or new_id("sch"),
                    "position": number,
                    "name": name,
                    "plan": orjson.dumps(plan).decode(),
                    "due_at": due,
                    "starts_at": start,
                    "created_at": now,
                    "updated_at": now,
                }
            )
        names = [row["name"] for row in rows]
        details = f"Set the backup schedules: {', '.join(names) or 'none'}"[:500]
        await self._store.replace(rows, BackupScheduleChanged(resource="schedule", details=details, schedules=names))

    async def _target(self, name: str, where: str) -> str:
        try:
            return str((await self._targets.get(name)).id)
        except NotFound as error:
            raise InvalidRequest.field(f"{where}.targets", error.message) from None
