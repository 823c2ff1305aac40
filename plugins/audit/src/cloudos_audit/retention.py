"""Retention: deletes entries older than the policy; a sealed checkpoint continues the chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cloudos_sdk import Context, Event
from sqlalchemy import delete, insert, select, update
from sqlmodel import Session

from cloudos_audit.chain import Seal, time_text
from cloudos_audit.chain_head import CHECKPOINT, ENTRY, HEAD, HEAD_ID, LogEndReader
from cloudos_audit.raw_columns import exact, plain

_STEP = 10_000


@dataclass(frozen=True, kw_only=True)
class AuditPruned(Event, type="audit.pruned", audience="audit:read"):
    """Entries of the audit log reached the end of their retention and were removed."""

    removed: int
    first_kept: int


class AuditRetention:
    """Deletes entries older than the policy."""

    def __init__(self, ctx: Context, seal: Seal) -> None:
        self._ctx = ctx
        self._seal = seal
        self._ending = LogEndReader(ctx.db.dialect)

    async def prune(self) -> int:
        """Delete expired entries, some thousands per transaction; return how many."""
        total = 0
        while removed := await self._ctx.db.write(self._step):
            total += removed
        return total

    def _step(self, session: Session) -> int:
        days: int | None = self._ctx.settings.retention_days
        if days is None:
            return 0
        cutoff = self._ctx.clock.now() - timedelta(days=days)
        columns = ENTRY.c.seq, (ENTRY.c.time < cutoff), exact(ENTRY.c.hash, self._ctx.db.dialect)
        last: tuple[int, str] | None = None
        removed = 0
        for seq, old, hash in session.execute(select(*columns).order_by(ENTRY.c.seq).limit(_STEP)):
            if not old:
                break
            last, removed = (seq, str(plain(hash))), removed + 1
        if last is None:
            return 0
        first_kept = last[0] + 1
        self._checkpoint(session, first_kept, last[1], removed)
        session.execute(delete(ENTRY).where(ENTRY.c.seq < first_kept))
        self._forget_break(session, first_kept)
        details = f"Removed {removed} audit entries older than {days} days; entry {first_kept} is the first kept"
        event = AuditPruned(resource="audit", details=details, removed=removed, first_kept=first_kept)
        self._ctx.events.emit(session, event)
        return removed

    def _checkpoint(self, session: Session, seq: int, entry_hash: str, removed: int) -> None:
        newest = session.execute(
            select(CHECKPOINT.c.id, CHECKPOINT.c.mac).order_by(CHECKPOINT.c.id.desc()).limit(1)
        ).one_or_none()
        now = self._ctx.clock.now()
        row: dict[str, Any] = {
            "id": newest.id + 1 if newest else 1,
            "time": time_text(now),
            "seq": seq,
            "entry_hash": entry_hash,
            "removed": removed,
            "prev_mac": newest.mac if newest else "",
        }
        row["mac"] = self._seal.checkpoint(row)
        session.execute(insert(CHECKPOINT), {**row, "time": now})

    def _forget_break(self, session: Session, first_kept: int) -> None:
        """Let the head forget that it was once lost, when the entries of that time are gone."""
        ends = self._ending.read(session)
        if ends.broken_at is not None and ends.sealed(self._seal) and ends.broken_at < first_kept:
            values = {"broken_at": None, "mac": self._seal.head(ends.seq, ends.hash, None)}
            session.execute(update(HEAD).where(HEAD.c.id == HEAD_ID), values)
