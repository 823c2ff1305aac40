"""The routes' rows, with a mirror in memory: this process alone changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cloudos_sdk import Context, Event, NotFound, to_the_end
from sqlalchemy import bindparam, delete, insert, select, update
from sqlmodel import Session

from cloudos_proxy.models import Route
from cloudos_proxy.routes.model import COLUMNS, RouteRow, values_of

TABLE = Route.__table__


class RouteStore:
    """Reads and changes routes. Each change and the events that tell of it are one transaction."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._rows: dict[str, RouteRow] = {}
        self.faces: frozenset[str] = frozenset()
        """The names by which people come to the node itself."""
        self.lock = asyncio.Lock()
        """Held by whoever changes routes, from reading them to the end of `put`."""

    async def load(self) -> None:
        """Read all rows."""
        statement = select(*(TABLE.c[name] for name in COLUMNS))
        rows = await self._ctx.db.read(lambda s: [RouteRow(*row) for row in s.execute(statement)])
        self._rows = {row.id: row for row in rows}
        self._look_at_faces()

    def all(self) -> list[RouteRow]:
        """Return all routes, newest first."""
        return sorted(self._rows.values(), key=lambda row: (row.created_at, row.id), reverse=True)

    def get(self, route_id: str) -> RouteRow:
        """Return a route. Raises NotFound."""
        row = self._rows.get(route_id)
        if row is None:
            raise NotFound("route", route_id)
        return row

    def find(self, route_id: str) -> RouteRow | None:
        """Return a route, or None."""
        return self._rows.get(route_id)

    def at(self, hostname: str, path_prefix: str = "") -> RouteRow | None:
        """Return the route of a name and prefix, or None."""
        wanted = (hostname, path_prefix)
        return next((row for row in self._rows.values() if (row.hostname, row.path_prefix) == wanted), None)

    def of_app(self, app_id: str) -> RouteRow | None:
        """Return the route that was made for an app, or None."""
        return next((row for row in self._rows.values() if row.app_id == app_id), None)

    def ui_hostname(self) -> str | None:
        """Return a name by which the OS UI is served, or None."""
        found = (row for row in self._rows.values() if row.upstream_type == "ui" and row.status == "active")
        return next((row.hostname for row in sorted(found, key=lambda row: row.kind != "apex")), None)

    def _look_at_faces(self) -> None:
        self.faces = frozenset(row.hostname for row in self._rows.values() if row.is_face)

    async def put(
        self,
        rows: Sequence[RouteRow] = (),
        gone: Iterable[str] = (),
        events: Iterable[Event] = (),
        also: Callable[[Session], object] | None = None,
    ) -> None:
        """Store rows, new and changed, delete others, emit events and do `also`, all in one transaction."""
        gone, events = list(gone), list(events)
        made = [_values(row) for row in rows if row.id not in self._rows]
        changed = [{**_values(row), "row_id": row.id} for row in rows if row.id in self._rows]

        def write(session: Session) -> None:
            connection = session.connection()
            for start in range(0, len(gone), 500):
                connection.execute(delete(TABLE).where(TABLE.c.id.in_(gone[start : start + 500])))
            if changed:
                connection.execute(_UPDATE, changed)
            if made:
                connection.execute(insert(TABLE), made)
            for event in events:
                self._ctx.events.emit(session, event)
            if also is not None:
                also(session)
            self._ctx.db.after_commit(session, mirror)

        def mirror() -> None:
            for id in gone:
                self._rows.pop(id, None)
            self._rows.update({row.id: row for row in rows})
            self._look_at_faces()

        await to_the_end(self._ctx.db.write(write))  # whoever holds the lock has it until the commit


def _values(row: RouteRow) -> dict[str, Any]:
    return dict(zip(COLUMNS, values_of(row), strict=True))


_UPDATE: Any = (
    update(TABLE)
    .where(TABLE.c.id == bindparam("row_id"))
    .values({name: bindparam(name) for name in COLUMNS if name != "id"})
)
