"""Layouts of dashboards: each save names the version it was made from, and one of two at once is refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from cloudos_sdk import Conflict, Context, Envelope, NotFound
from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session

from cloudos_dashboard.defaults import DEFAULTS
from cloudos_dashboard.events import LayoutSaved
from cloudos_dashboard.models import Layout, LayoutVersion
from cloudos_dashboard.schemas import NewLayout

EARLIER = 20
"""How many versions are kept beside the one in force."""

LAYOUT, VERSION = Layout.__table__, LayoutVersion.__table__


class Dashboards:
    """Reads and saves the layouts of a user. Version 0 is the default layout."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def get(self, user_id: str, kind: str) -> bytes:
        """Return the layout in force as JSON."""
        statement = select(LAYOUT.c.version, LAYOUT.c.layout).where(*_of(LAYOUT, user_id, kind))
        row = await self._ctx.db.read(lambda session: session.execute(statement).first())
        version, layout = (row.version, row.layout) if row is not None else (0, _default(kind))
        return _shown(kind, version, layout)

    async def save(self, user_id: str, kind: str, wanted: NewLayout) -> int:
        """Save a layout over the version that it names; return the new version. Raises Conflict if stale."""
        layout = orjson.dumps([widget.model_dump() for widget in wanted.layout]).decode()
        return await self._ctx.db.write(lambda session: self._put(session, user_id, kind, wanted.version, layout))

    async def versions(self, user_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the earlier versions that can be restored, newest first."""
        current = select(LAYOUT.c.version).where(*_of(LAYOUT, user_id, kind)).scalar_subquery()
        statement = (
            select(VERSION.c.version, VERSION.c.widgets, VERSION.c.saved_at)
            .where(*_of(VERSION, user_id, kind), VERSION.c.version < current)
            .order_by(VERSION.c.version.desc())
            .limit(EARLIER)
        )
        rows = await self._ctx.db.read(lambda session: session.execute(statement).mappings().all())
        return [dict(row) for row in rows]

    async def version(self, user_id: str, kind: str, version: int) -> bytes:
        """Return one version as JSON. Raises NotFound."""
        layout = await self._ctx.db.read(lambda session: _kept(session, user_id, kind, version))
        return _shown(kind, version, layout)

    async def restore(self, user_id: str, kind: str, version: int, seen: int | None) -> int:
        """Restore an earlier version over `seen` or the current one. Raises NotFound, Conflict."""

        def put(session: Session) -> int:
            layout = _kept(session, user_id, kind, version)
            base = _in_force(session, user_id, kind) if seen is None else seen
            return self._put(session, user_id, kind, base, layout, restored=version)

        return await self._ctx.db.write(put)

    async def forget(self, envelope: Envelope) -> None:
        """Delete the layouts of a deleted user."""

        def drop(session: Session) -> None:
            for table in (LAYOUT, VERSION):
                session.execute(delete(table).where(table.c.user_id == envelope.resource))

        await self._ctx.db.write(drop)

    def _put(
        self, session: Session, user_id: str, kind: str, base: int, layout: str, restored: int | None = None
    ) -> int:
        """Make `layout` the version after `base`, if that is in force; else raise Conflict."""
        now = self._ctx.clock.now()
        if not self._advance(session, user_id, kind, base, layout, now):
            current = _in_force(session, user_id, kind)
            message = "Layout was updated from another device. Reload and retry."
            raise Conflict("stale_version", message, current_version=current)
        version = base + 1
        row = {"user_id": user_id, "kind": kind, "version": version, "layout": layout, "saved_at": now}
        session.execute(insert(VERSION).values(**row, widgets=len(orjson.loads(layout))))
        old = VERSION.c.version < version - EARLIER
        session.execute(delete(VERSION).where(*_of(VERSION, user_id, kind), old))
        again = f", restored from version {restored}" if restored is not None else ""
        details = f"Saved the {kind} dashboard as version {version}{again}"
        told = LayoutSaved(resource=user_id, details=details, kind=kind, version=version, restored=restored)
        self._ctx.events.emit(session, told)
        return version

    def _advance(self, session: Session, user_id: str, kind: str, base: int, layout: str, now: datetime) -> bool:
        """Replace version `base` by the layout in one statement; False if another version is current."""
        values = {"version": base + 1, "layout": layout, "saved_at": now}
        if base == 0:
            add = _insert(self._ctx.db.dialect).values(user_id=user_id, kind=kind, **values)
            statement: Any = add.on_conflict_do_nothing()
        else:
            statement = update(LAYOUT).where(*_of(LAYOUT, user_id, kind), LAYOUT.c.version == base).values(**values)
        return session.connection().execute(statement.returning(LAYOUT.c.version)).first() is not None


def _insert(dialect: str) -> Any:
    """Return the dialect's insert with ON CONFLICT; imports only the dialect in use."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(LAYOUT)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(LAYOUT)


def _of(table: Any, user_id: str, kind: str) -> Sequence[Any]:
    return table.c.user_id == user_id, table.c.kind == kind


def _in_force(session: Session, user_id: str, kind: str) -> int:
    statement = select(func.max(LAYOUT.c.version)).where(*_of(LAYOUT, user_id, kind))
    return int(session.execute(statement).scalar() or 0)


def _kept(session: Session, user_id: str, kind: str, version: int) -> str:
    """Return a version's layout. Raises NotFound."""
    if version == 0:
        return _default(kind)
    statement = select(VERSION.c.layout).where(*_of(VERSION, user_id, kind), VERSION.c.version == version)
    layout = session.execute(statement).scalar()
    if layout is None:
        message = f"There is no version {version} of this dashboard; the last {EARLIER} are kept."
        raise NotFound("version", str(version), message=message)
    return str(layout)


def _default(kind: str) -> str:
    return orjson.dumps(DEFAULTS[kind]).decode()


def _shown(kind: str, version: int, layout: str) -> bytes:
    return orjson.dumps({"type": kind, "version": version, "layout": orjson.Fragment(layout)})
