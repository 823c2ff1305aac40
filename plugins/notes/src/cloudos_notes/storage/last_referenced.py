"""When notes were last referenced: gathered in memory and written in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime

from cloudos_sdk import Context
from sqlalchemy import bindparam, update
from sqlmodel import Session

from cloudos_notes.storage.tables import NOTE

_GATHERING = 0.5
_TOUCH = (
    update(NOTE)
    .where(NOTE.c.id == bindparam("note"))
    .values(last_referenced_at=bindparam("at"), active_at=bindparam("at"))
)


class ReferenceTimes:
    """Batches updates of `last_referenced` for half a second; flushes at the end."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._gathered: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, note_ids: Collection[str]) -> None:
        """Note that these were referenced now."""
        self._gathered.update(dict.fromkeys(note_ids, self._ctx.clock.now()))
        if self._gathered and (self._task is None or self._task.done()):
            self._task = self._ctx.tasks.start("references", self._soon)

    async def close(self) -> None:
        """Write pending updates."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    async def _soon(self) -> None:
        while self._gathered:
            await asyncio.sleep(_GATHERING)  # of the real clock: it bounds a loss, and tells nobody the time
            await self.flush()

    async def flush(self) -> None:
        """Write the batch."""
        gathered, self._gathered = self._gathered, {}
        if not gathered:
            return
        rows = [{"note": id, "at": at} for id, at in gathered.items()]

        def write(session: Session) -> None:
            session.connection().execute(_TOUCH, rows)

        try:
            await self._ctx.db.write(write)
        except BaseException:
            self._gathered = {**gathered, **self._gathered}
            raise
