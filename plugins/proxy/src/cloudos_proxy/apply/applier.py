"""Puts staged routes in force at once: those that can be, and never a document that does not serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from cloudos_sdk import Unavailable

from cloudos_proxy.apply.config_builder import ConfigBuilder
from cloudos_proxy.apply.history import ApplyHistory
from cloudos_proxy.apply.loader import Loader, NotServed, blamed
from cloudos_proxy.apply.plan import Plan, differences, plan
from cloudos_proxy.apply.recorder import AppliedStore
from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.hostnames import covers
from cloudos_proxy.routes.model import RouteRow, Served
from cloudos_proxy.routes.node_names import NodeNames
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.routes.upstream_resolver import Refused, Resolver, Unresolved
from cloudos_proxy.upstreams.policy import is_fixed, split

T = TypeVar("T")

_MOST_LEFT_OUT = 20
"""Routes that Caddy refuses one after the other in one apply; with more of them it is refused whole."""


class Applier:
    """Applies staged routes to Caddy, one apply at a time."""

    def __init__(
        self,
        routes: RouteStore,
        history: ApplyHistory,
        applied: AppliedStore,
        resolver: Resolver,
        configurator: ConfigBuilder,
        door: CaddySupervisor,
        loader: Loader,
        names: NodeNames,
        follow: Callable[[Mapping[str, Served], Mapping[str, Served]], None],
    ) -> None:
        self._routes = routes
        self._history = history
        self._applied = applied
        self._resolver = resolver
        self._configurator = configurator
        self._door = door
        self._loader = loader
        self._names = names
        self._follow = follow
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.now: dict[str, Served] = {}
        """The routes that are served, by id."""

    async def start(self) -> bool:
        """Serve the last applied configuration, also after an interrupted apply; return whether there is one."""
        newest = await self._history.newest()
        if newest is None:
            return False
        served, document = newest
        self.now = {each.row.id: each for each in served}
        self._door.restore(document)
        return True

    async def apply(self, *, force: bool = False) -> dict[str, Any]:
        """Put the staged routes in force; with `force` also those whose upstream is down."""

        async def work() -> dict[str, Any]:
            return await self._apply(self._routes.all(), "apply", force=force)

        return await self._to_the_end(work)

    async def rollback(self, applied_id: str, *, force: bool = False) -> dict[str, Any]:
        """Serve the routes of an earlier configuration again. Raises NotFound, and Forbidden for the node's names."""

        async def work() -> dict[str, Any]:
            before = [each.row for each in await self._history.get(applied_id)]
            self._admit(before)
            rows = [replace(row, status="active", error=None, by_admin=self._vouched(row)) for row in before]
            return await self._apply(rows, f"rollback to {applied_id}", force=force, restoring=True)

        return await self._to_the_end(work)

    async def diff(self) -> dict[str, Any]:
        """Return the changes that an apply would make."""
        made = await self._plan(self._routes.all())
        unresolved = [row for id in made.errors if (row := self._routes.find(id)) is not None]
        return {"changes": differences(made, self.now, unresolved), "unchanged": made.unchanged}

    async def refresh(self, reason: str) -> bool:
        """Serve the applied routes with the domains, certificates and addresses of now; return whether that is new.

        An app that is gone is served no longer. Raises Unavailable where Caddy does not take it; what was served
        before is served on.
        """
        return await self._to_the_end(lambda: self._refresh(reason))

    def gated(self, hostname: str) -> list[RouteRow]:
        """Return the served routes of a name that require sign-in; staged routes do not count."""
        rows = (each.row for each in self.now.values())
        return [
            row for row in rows if row.require_auth and (row.hostname == hostname or covers(row.hostname, hostname))
        ]

    async def stop(self) -> None:
        """Wait for the running apply."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admit(self, rows: Sequence[RouteRow]) -> None:
        """Raise Forbidden if these routes concern the node's own names and the caller is not a signed-in admin."""
        for now in ([each.row for each in self.now.values()], self._routes.all()):
            faces, before = ({row.id: row.face for row in found} for found in (rows, now))
            other = [row for row in (*rows, *now) if faces.get(row.id) != before.get(row.id)]
            self._names.admit(*other)

    def _vouched(self, row: RouteRow) -> bool:
        """Return whether a route was approved by an admin; a rollback of the node's own names approves them."""
        return row.by_admin or (self._names.by_admin() and self._names.owns(row.hostname))

    async def _to_the_end(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `work` under the lock, to its end even if the caller is cancelled."""

        async def alone() -> T:
            async with self._one:
                return await work()

        task = asyncio.create_task(alone(), name="proxy:apply")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _apply(
        self, rows: Sequence[RouteRow], reason: str, *, force: bool, restoring: bool = False
    ) -> dict[str, Any]:
        made = await self._plan(rows)
        forbidden = await self._resolver.refused([each.row for each in made.changed])
        silent = await self._silent([each for each in made.changed if each.row.id not in forbidden])
        fixed = {each.row.id for each in made.changed if is_fixed(split(each.dial)[0])}
        made = made.without(forbidden, self.now, fixed & forbidden.keys())
        made = made if force else made.without(silent, self.now)
        api = await self._resolver.api()
        before = self._door.document or (await self._configurator.document([], api))[0]
        for _ in range(_MOST_LEFT_OUT):
            errors = {**silent, **made.errors}
            document, anything = await self._configurator.document(made.served, api)
            served_already = document == self._door.document and self._door.trouble is None
            if not made.changes and (served_already or (self._door.document is None and not anything)):
                return await self._nothing_new(errors, rows, made, restoring)
            packing = asyncio.create_task(asyncio.to_thread(self._history.pack, made.served, document))
            try:
                still = [] if force else [each.dial for each in made.changed]
                await self._loader.load(document, before=before, upstreams=still)
            except NotServed as error:
                refused = _reasons(error, document, made)
                if not refused.keys() & {each.row.id for each in made.changed}:
                    return await self._refuse({**errors, **refused}, rows, made, restoring)
                made = made.without(refused, self.now)
                continue
            finally:
                packed = await packing
            break
        else:
            return await self._refuse(made.errors, rows, made, restoring)
        try:
            await self._applied.commit(made, packed, reason, made.errors, restoring=restoring)
        except BaseException:
            await self._door.load(before)
            raise
        self._serve(made)
        return _outcome(made.changes, made.unchanged, errors, rows)

    async def _nothing_new(
        self, errors: Mapping[str, str], rows: Sequence[RouteRow], made: Plan, restoring: bool
    ) -> dict[str, Any]:
        if made.errors:
            return await self._refuse(errors, rows, made, restoring)
        return _outcome(0, made.unchanged, errors, rows)

    def _serve(self, made: Plan) -> None:
        """Store what is served in memory and notify the followers."""
        before, self.now = self.now, {each.row.id: each for each in made.served}
        self._follow(before, self.now)

    async def _refuse(
        self, errors: Mapping[str, str], rows: Sequence[RouteRow], made: Plan, restoring: bool
    ) -> dict[str, Any]:
        await self._applied.refused(errors, rows, mark=not restoring)
        return _outcome(0, made.unchanged, errors, rows)

    async def _refresh(self, reason: str) -> bool:
        apps, api = await self._resolver.apps(), await self._resolver.api()

        forbidden = await self._resolver.refused([each.row for each in self.now.values()], fixed=True)

        def dial(row: RouteRow) -> str:
            if row.id in forbidden:
                raise Refused(forbidden[row.id])
            try:
                return self._resolver.dial(row, apps, api)
            except Refused:
                raise
            except Unresolved:
                if apps is not None and row.upstream_id not in apps:
                    raise
                return self.now[row.id].dial  # whoever knows the apps is not up yet

        made = await asyncio.to_thread(plan, [each.row for each in self.now.values()], self.now, dial)
        before = self._door.document or (await self._configurator.document([], api))[0]
        document, anything = await self._configurator.document(made.served, api)
        if document == self._door.document or (self._door.document is None and not anything):
            return False
        try:
            await self._loader.load(document, before=before, upstreams=())
        except NotServed as error:
            raise Unavailable(f"Caddy does not take it: {error}", code="configuration_refused") from None
        packed = await asyncio.to_thread(self._history.pack, made.served, document)
        try:
            await self._applied.replace(packed, reason, made.errors)
        except BaseException:
            await self._door.load(before)
            raise
        self._serve(made)
        return True

    async def _plan(self, rows: Sequence[RouteRow]) -> Plan:
        apps, api = await self._resolver.apps_of(rows), await self._resolver.api()
        return await asyncio.to_thread(plan, rows, self.now, lambda row: self._resolver.dial(row, apps, api))

    async def _silent(self, changed: Sequence[Served]) -> dict[str, str]:
        """Return the routes whose upstream does not answer, and why."""
        dead = await self._resolver.probe(each.dial for each in changed)
        return {each.row.id: f"{dead[each.dial]}." for each in changed if each.dial in dead}


def _reasons(error: NotServed, document: bytes, made: Plan) -> dict[str, str]:
    if error.upstreams:
        dead = error.upstreams
        return {each.row.id: f"{dead[each.dial]}." for each in made.changed if each.dial in dead}
    return {blamed(str(error), document, made.served) or "": f"Caddy does not take it: {error}"}


def _outcome(applied: int, unchanged: int, errors: Mapping[str, str], rows: Sequence[RouteRow]) -> dict[str, Any]:
    names = {row.id: row.hostname for row in rows}
    told = [{"route_id": id or None, "hostname": names.get(id), "message": why} for id, why in errors.items()]
    return {"applied": applied, "unchanged": unchanged, "errors": told}
