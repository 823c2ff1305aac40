"""Offers the end of the log to leave the node: as an event, which webhooks carry to another machine."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Context, Event
from sqlalchemy import select
from sqlmodel import Session

from cloudos_audit.chain_head import ENTRY


@dataclass(frozen=True, kw_only=True)
class AuditSealed(Event, type="audit.sealed", audience="audit:read"):
    """The newest entry by number and hash; kept elsewhere, they prove that it existed."""

    number: int
    hash: str


async def seal_for_ever(ctx: Context) -> None:
    """Emit the log's end every `seal_minutes`, if it moved."""
    minutes: int = ctx.settings.seal_minutes
    while minutes:
        await ctx.clock.sleep(60.0 * minutes)
        await emit_seal(ctx)


async def emit_seal(ctx: Context) -> None:
    """Emit the log's end, unless it has not moved."""

    def emit(session: Session) -> None:
        newest = select(ENTRY.c.seq, ENTRY.c.hash, ENTRY.c.action).order_by(ENTRY.c.seq.desc()).limit(1)
        row = session.execute(newest).first()
        if row is not None and row.action != AuditSealed.type:
            details = f"The audit log ends at entry {row.seq} with the hash {row.hash}"
            ctx.events.emit(session, AuditSealed(resource="audit", details=details, number=row.seq, hash=row.hash))

    await ctx.db.write(emit)
