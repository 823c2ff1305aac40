"""The rows of restores: how far each is, for the next start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cloudos_sdk import Context, Event, new_id
from sqlalchemy import and_, delete, select, update
from sqlmodel import Session

from cloudos_backups.models import Restore

TABLE = Restore.__table__
CHANGED = ("closing", "swapping", "starting")
"""The phases in which the app is not as it was before."""


class RestoreStore:
    """Reads and changes the rows of restores."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def of(self, operation_id: str) -> dict[str, Restore]:
        """Return the restores of an operation by the app of the backup that each is of."""
        statement = select(Restore).where(TABLE.c.operation_id == operation_id)
        found = await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())
        return {row.app_id: row for row in found}

    async def get(self, id: str) -> Restore:
        """Return a restore that there is."""
        found: Restore = await self._ctx.db.read(lambda s: s.get_one(Restore, id))
        return found

    async def open(self) -> Sequence[Restore]:
        """Return the restores that have not ended."""
        statement = select(Restore).where(TABLE.c.finished_at.is_(None))
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())

    async def begin(self, operation_id: str, backup_id: str, app_id: str, making: str | None) -> Restore:
        """Add a restore."""
        row = Restore(
            id=new_id("rst"),
            operation_id=operation_id,
            backup_id=backup_id,
            app_id=app_id,
            making=making,
            phase="begun",
            moves="[]",
            created_at=self._ctx.clock.now(),
        )

        def store(session: Session) -> Restore:
            session.add(row)
            session.flush()
            return row

        return await self._ctx.db.write(store)

    async def change(self, row: Restore, *events: Event, **values: Any) -> None:
        """Change a restore, and emit; the row in hand follows."""

        def store(session: Session) -> None:
            session.execute(update(TABLE).where(TABLE.c.id == row.id).values(**values))
            for event in events:
                self._ctx.events.emit(session, event)

        await self._ctx.db.write(store)
        for name, value in values.items():
            setattr(row, name, value)

    async def forget_old(self, before: datetime) -> None:
        """Delete the restores that ended before a time."""
        gone = and_(TABLE.c.finished_at.is_not(None), TABLE.c.finished_at < before)
        await self._ctx.db.write(lambda s: s.execute(delete(TABLE).where(gone)))
