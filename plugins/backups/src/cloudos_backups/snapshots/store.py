"""The rows of the backups and of what is known of each app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from cloudos_sdk import Context, Event, InvalidRequest, NotFound
from cloudos_sdk.http import Page
from sqlalchemy import and_, delete, or_, select, update
from sqlmodel import Session

from cloudos_backups.models import AppState, Backup
from cloudos_backups.snapshots.manifest import Part, packed, unpacked

TABLE, APPS = Backup.__table__, AppState.__table__
OPEN = ("queued", "in_progress")
GOOD = ("completed", "partial")


class BackupStore:
    """Reads and changes backups. A change of a row and the events that tell of it are one transaction."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def get(self, backup_id: str) -> Backup:
        """Return a backup. Raises NotFound."""
        found: Backup | None = await self._ctx.db.read(lambda s: s.get(Backup, backup_id))
        if found is None:
            raise NotFound("backup", backup_id[:200])
        return found

    async def page(self, page: Page, *, app: str | None = None, target: str | None = None) -> Sequence[Backup]:
        """Return backups, newest first, of one app or target where it is named. Raises InvalidRequest."""

        def read(session: Session) -> Sequence[Backup]:
            statement = select(Backup)
            newer = page.before is None and page.after is not None
            for name, id in (("before", page.before), ("after", page.after)):
                if id is None:
                    continue
                edge = session.get(Backup, id)
                if edge is None:
                    raise InvalidRequest.field(name, f"there is no backup {id[:200]!r}")
                at, own = TABLE.c.started_at, TABLE.c.id
                if name == "before":
                    older = or_(at < edge.started_at, and_(at == edge.started_at, own < edge.id))
                    statement = statement.where(older)
                else:
                    later = or_(at > edge.started_at, and_(at == edge.started_at, own > edge.id))
                    statement = statement.where(later)
            if app is not None:
                statement = statement.where(TABLE.c.apps.contains(f'"{app}"', autoescape=True))
            if target is not None:
                statement = statement.where(or_(TABLE.c.target_id == target, TABLE.c.target == target))
            order = (TABLE.c.started_at, TABLE.c.id) if newer else (TABLE.c.started_at.desc(), TABLE.c.id.desc())
            rows = session.execute(statement.order_by(*order).limit(page.limit)).scalars().all()
            return rows[::-1] if newer else rows

        return await self._ctx.db.read(read)

    async def of_target(self, target_id: str) -> Sequence[Backup]:
        """Return the backups at a target that have something to restore, newest first."""
        statement = select(Backup).where(TABLE.c.target_id == target_id, TABLE.c.status.in_(GOOD))
        ordered = statement.order_by(TABLE.c.started_at.desc(), TABLE.c.id.desc())
        return await self._ctx.db.read(lambda s: s.execute(ordered).scalars().all())

    def insert(self, session: Session, values: Mapping[str, Any]) -> Backup:
        """Add a backup."""
        backup = Backup(**values)
        session.add(backup)
        session.flush()
        return backup

    async def change(self, backup_id: str, *events: Event, parts: Sequence[Part] | None = None, **values: Any) -> None:
        """Change a backup, and emit."""
        if parts is not None:
            values |= {
                "parts": packed(parts),
                "size_bytes": sum(part.bytes for part in parts),
                "added_bytes": sum(part.added for part in parts),
                "files": sum(part.files for part in parts),
            }

        def store(session: Session) -> None:
            session.execute(update(TABLE).where(TABLE.c.id == backup_id).values(**values))
            for event in events:
                self._ctx.events.emit(session, event)

        await self._ctx.db.write(store)

    async def drop(self, backup_id: str, *events: Event) -> None:
        """Delete a backup's row, and emit."""

        def store(session: Session) -> None:
            session.execute(delete(TABLE).where(TABLE.c.id == backup_id))
            for event in events:
                self._ctx.events.emit(session, event)

        await self._ctx.db.write(store)

    async def forget_old(self, before: datetime) -> None:
        """Delete the rows of failed and cancelled backups that ended before a time."""
        gone = and_(TABLE.c.status.in_(("failed", "cancelled")), TABLE.c.finished_at < before)
        await self._ctx.db.write(lambda s: s.execute(delete(TABLE).where(gone)))

    async def note_good(self, app_id: str, name: str, backup_id: str, at: datetime) -> None:
        """Note the newest good backup of an app."""
        await self._note(app_id, name, last_backup_id=backup_id, last_backup_at=at)

    async def note_proof(self, app_id: str, name: str, at: datetime, error: str | None) -> None:
        """Note how the proof of an app's backup went."""
        proved = {} if error is not None else {"last_proved_at": at}
        await self._note(app_id, name, proof_tried_at=at, proof_error=error, **proved)

    async def _note(self, app_id: str, name: str, **values: Any) -> None:
        def store(session: Session) -> None:
            if session.get(AppState, app_id) is None:
                session.add(AppState(app_id=app_id, name=name))
                session.flush()
            session.execute(update(APPS).where(APPS.c.app_id == app_id).values(name=name, **values))

        await self._ctx.db.write(store)

    async def apps(self) -> Sequence[AppState]:
        """Return what is known of each app, by name."""
        statement = select(AppState).order_by(APPS.c.name, APPS.c.app_id)
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())


def parts_of(backup: Backup) -> list[Part]:
    """Return the parts of a backup."""
    return unpacked(backup.parts)


def apps_of(backup: Backup) -> list[str]:
    """Return the ids of the apps that a backup is of."""
    found: list[str] = orjson.loads(backup.apps)
    return found
