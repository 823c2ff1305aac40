"""The schedules' rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from cloudos_sdk import Context, Event
from sqlalchemy import select, update
from sqlmodel import Session

from cloudos_backups.models import Schedule

TABLE = Schedule.__table__


class ScheduleStore:
    """Reads and changes schedules."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def all(self) -> Sequence[Schedule]:
        """Return the schedules in their order."""
        statement = select(Schedule).order_by(TABLE.c.position)
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())

    async def find(self, id: str) -> Schedule | None:
        """Return a schedule, or None."""
        return await self._ctx.db.read(lambda s: s.get(Schedule, id))

    async def replace(self, rows: Sequence[Mapping[str, Any]], event: Event) -> None:
        """Put these schedules in the place of all; of one that goes on, what became of it stays."""

        def store(session: Session) -> None:
            there = {row.id: row for row in session.execute(select(Schedule)).scalars()}
            for values in rows:
                row = there.pop(values["id"], None)
                if row is None:
                    session.add(Schedule(**{"failures": 0, **values}))
                    continue
                for name in ("position", "name", "plan", "due_at", "starts_at", "updated_at"):
                    setattr(row, name, values[name])
                session.add(row)
            for row in there.values():
                session.delete(row)
            session.flush()
            self._ctx.events.emit(session, event)

        await self._ctx.db.write(store)

    async def change(self, id: str, **values: Any) -> None:
        """Change what became of a schedule."""
        await self._ctx.db.write(lambda s: s.execute(update(TABLE).where(TABLE.c.id == id).values(**values)))

    async def ended(self, id: str, *, good: bool, at: datetime) -> None:
        """Count the failures of a schedule in a row."""
        values: dict[str, Any] = (
            {"failures": 0, "last_succeeded_at": at} if good else {"failures": TABLE.c.failures + 1}
        )
        await self.change(id, **values)


def plan_of(row: Schedule) -> dict[str, Any]:
    """Return what a schedule says."""
    found: dict[str, Any] = orjson.loads(row.plan)
    return found
