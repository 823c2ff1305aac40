"""The rows of domains. Each change and its event are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from cloudos_sdk import Conflict, Context, Event, NotFound
from sqlalchemy import delete, insert, select, update
from sqlmodel import Session

from cloudos_proxy.domains.events import DomainChanged
from cloudos_proxy.models import Domain

TABLE = Domain.__table__
T = TypeVar("T")


class DomainStore:
    """Reads and changes domains."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._rows: Sequence[Domain] | None = None
        self._changes = 0

    async def all(self) -> Sequence[Domain]:
        """Return all domains, newest first, cached until a change."""
        if self._rows is not None:
            return self._rows
        changes = self._changes
        statement = select(Domain).order_by(TABLE.c.created_at.desc(), TABLE.c.id)
        rows: Sequence[Domain] = await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())
        if changes == self._changes:
            self._rows = rows
        return rows

    async def get(self, domain_id: str) -> Domain:
        """Return a domain. Raises NotFound."""
        found = await self._ctx.db.read(lambda s: s.get(Domain, domain_id))
        if found is None:
            raise NotFound("domain", domain_id)
        return found

    async def add(self, values: dict[str, Any], event: Event) -> None:
        """Insert a row and emit its event. Raises Conflict if the hostname exists."""

        def store(session: Session) -> None:
            _refuse_taken(session, values["hostname"], "")
            session.execute(insert(TABLE).values(**values))
            self._ctx.events.emit(session, event)

        await self._write(store)

    async def change(
        self,
        domain_id: str,
        values: dict[str, Any],
        event: Event | None = None,
        *,
        only_if: Callable[[Domain], bool] = lambda row: True,
    ) -> bool:
        """Change a row if it matches `expected`, and emit its event; return whether it did. Raises Conflict."""

        def store(session: Session) -> bool:
            row = session.get(Domain, domain_id)
            if row is None or not only_if(row):
                return False
            if "hostname" in values:
                _refuse_taken(session, values["hostname"], domain_id)
            changed = {**values, "updated_at": self._ctx.clock.now()}
            session.execute(update(TABLE).where(TABLE.c.id == domain_id).values(**changed))
            if event is not None:
                self._ctx.events.emit(session, event)
            return True

        return await self._write(store)

    async def remove(self, domain_id: str, event: Callable[[Domain], Event]) -> None:
        """Delete a row, and emit. Raises NotFound."""

        def drop(session: Session) -> None:
            row = session.get(Domain, domain_id)
            if row is None:
                raise NotFound("domain", domain_id)
            self._ctx.events.emit(session, event(row))
            session.execute(delete(TABLE).where(TABLE.c.id == domain_id))

        await self._write(drop)

    async def forget_app(self, app_id: str) -> None:
        """Have the domains of an app that was uninstalled lead to no app; their certificates stay."""
        for row in await self.all():
            if row.app_id == app_id:
                details = f"The app of the domain {row.hostname} was uninstalled; it leads to none now"
                event = DomainChanged(resource=row.id, details=details, domain=row.hostname, app_id=None)
                await self.change(row.id, {"app_id": None}, event, only_if=lambda row: row.app_id == app_id)

    async def forget_apps(self, known: Collection[str]) -> None:
        """Have all domains of apps other than those that are known lead to no app."""
        for app_id in {row.app_id for row in await self.all() if row.app_id is not None} - set(known):
            await self.forget_app(app_id)

    async def _write(self, change: Callable[[Session], T]) -> T:
        def write(session: Session) -> T:
            self._ctx.db.after_commit(session, self._read_anew)
            return change(session)

        return await self._ctx.db.write(write)

    def _read_anew(self) -> None:
        self._rows, self._changes = None, self._changes + 1


def _refuse_taken(session: Session, hostname: str, own_id: str) -> None:
    other = session.execute(select(TABLE.c.id).where(TABLE.c.hostname == hostname)).scalar()
    if other is not None and other != own_id:
        raise Conflict("domain_exists", f"{hostname} is there already.", domain_id=other)
