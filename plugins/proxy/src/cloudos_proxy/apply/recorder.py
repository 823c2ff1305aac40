"""Records an apply in one transaction: states of routes, the configuration and the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cloudos_sdk import Context
from sqlmodel import Session

from cloudos_proxy.apply.history import ApplyHistory, PackedDocument
from cloudos_proxy.apply.plan import Plan
from cloudos_proxy.events import RouteApplied, RouteApplyFailed
from cloudos_proxy.routes.model import RouteRow
from cloudos_proxy.routes.store import RouteStore

_NAMED = 50


class AppliedStore:
    """Records how applies end."""

    def __init__(self, ctx: Context, routes: RouteStore, history: ApplyHistory) -> None:
        self._ctx = ctx
        self._routes = routes
        self._history = history

    async def commit(
        self, made: Plan, packed: PackedDocument, reason: str, errors: Mapping[str, str], *, restoring: bool
    ) -> None:
        """Record that a plan is in force; a route that was changed meanwhile stays pending."""
        names = [each.row.hostname for each in (*made.changed, *made.removed)]
        details = f"Applied {made.changes} changed of {len(made.served)} routes"
        if restoring:
            details = f"Went back to an earlier configuration: {reason}"

        def also(session: Session) -> None:
            id = self._history.add(session, packed, reason, made.changes)
            event = RouteApplied(
                resource=id, details=details, applied=made.changes, unchanged=made.unchanged, hostnames=names[:_NAMED]
            )
            self._ctx.events.emit(session, event)
            if errors:
                self._ctx.events.emit(session, self._left_out(errors, names_of(errors)))

        def names_of(errors: Mapping[str, str]) -> list[str]:
            return [row.hostname for id in errors if (row := self._routes.find(id)) is not None]

        async with self._routes.lock:
            if restoring:
                rows, gone = self._restored(made)
            else:
                rows, gone = [*self._in_force(made), *self._failed(made.errors)], []
            await self._routes.put(rows, gone, also=also)

    async def refused(self, errors: Mapping[str, str], rows: Sequence[RouteRow], *, mark: bool) -> None:
        """Record that a plan was refused, and why."""
        names = [row.hostname for row in rows if row.id in errors]
        reason = next(iter(errors.values()), "")
        event = RouteApplyFailed(
            resource="proxy", details=f"Nothing was applied: {reason[:300]}", reason=reason, hostnames=names[:_NAMED]
        )
        async with self._routes.lock:
            await self._routes.put(self._failed(errors) if mark else (), events=[event])

    def _left_out(self, errors: Mapping[str, str], names: Sequence[str]) -> RouteApplyFailed:
        reason = next(iter(errors.values()))
        details = f"{len(errors)} of the routes are not applied: {reason[:300]}"
        return RouteApplyFailed(resource="proxy", details=details, reason=reason, hostnames=list(names[:_NAMED]))

    async def replace(self, packed: PackedDocument, reason: str, errors: Mapping[str, str]) -> None:
        """Record that the same routes are served otherwise, and why some are not any more."""

        def also(session: Session) -> None:
            if not self._history.replace_newest(session, packed):
                self._history.add(session, packed, reason, 0)

        async with self._routes.lock:
            await self._routes.put(self._failed(errors), also=also)

    def _in_force(self, made: Plan) -> list[RouteRow]:
        found = []
        for each in made.changed:
            current = self._routes.find(each.row.id)
            if current is not None and current.face == each.row.face:
                found.append(replace(current, status="active", error=None))
        return found

    def _failed(self, errors: Mapping[str, str]) -> list[RouteRow]:
        current = ((self._routes.find(id), why) for id, why in errors.items())
        return [replace(row, status="error", error=why) for row, why in current if row is not None]

    def _restored(self, made: Plan) -> tuple[list[RouteRow], list[str]]:
        """Return the rows of an earlier configuration and those that replaced them; newer ones become pending."""
        rows = [each.row for each in made.served]
        ids = {row.id for row in rows}
        places = {(row.hostname, row.path_prefix) for row in rows}
        apps = {row.app_id for row in rows if row.app_id}
        others = [row for row in self._routes.all() if row.id not in ids]
        gone = [row.id for row in others if (row.hostname, row.path_prefix) in places or row.app_id in apps]
        newer = [
            replace(row, status="pending", error=None)
            for row in others
            if row.id not in gone and row.status == "active"
        ]
        return [*rows, *newer], gone
