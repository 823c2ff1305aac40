"""Routes that come by themselves: the apex of the base domain, and a name below it for each app."""

from __future__ import annotations

from dataclasses import replace

from cloudos_sdk import CloudOSError, Context, DatabaseUnavailable, Envelope, new_id

from cloudos_proxy.apply.applier import Applier
from cloudos_proxy.domains.store import DomainStore
from cloudos_proxy.events import RouteCreated, RouteDeleted, RouteUpdated
from cloudos_proxy.hostnames import BadHostname, normalise
from cloudos_proxy.routes.model import APEX_ID, RouteRow
from cloudos_proxy.routes.node_names import NodeNames
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.routes.upstream_resolver import Resolver

_FOLLOWED = ("app.installed", "app.install_failed", "app.updated", "app.uninstalled")
_UNMADE = ("installing", "failed")


class AppRoutes:
    """Maintains the automatic routes: the apex by the settings, and one for each installed app."""

    def __init__(
        self,
        ctx: Context,
        base_domain: str | None,
        routes: RouteStore,
        resolver: Resolver,
        names: NodeNames,
        domains: DomainStore,
    ) -> None:
        self._ctx = ctx
        self._base = base_domain
        self._routes = routes
        self._resolver = resolver
        self._names = names
        self._domains = domains
        self._applier: Applier | None = None

    async def follow(self, applier: Applier) -> None:
        """Make the routes of installed apps, and follow their events."""
        self._applier = applier
        self._ctx.events.subscribe(self._on_app, *_FOLLOWED, name="apps")

    async def keep_apex(self) -> None:
        """Make the apex route by the settings; after a change of the base domain, move the names below it."""
        async with self._routes.lock:
            apex = self._routes.find(APEX_ID)
            if self._base is None:
                if apex is not None:
                    gone = RouteDeleted(resource=APEX_ID, details="There is no base domain", hostname=apex.hostname)
                    await self._routes.put(gone=[APEX_ID], events=[gone])
                return
            if apex is not None and apex.hostname == self._base:
                return
            moved = self._moved(apex.hostname) if apex is not None else []
            row = replace(apex or self._new(APEX_ID, "apex", self._base, "ui"), hostname=self._base, status="pending")
            if (other := self._routes.at(self._base)) is not None:
                self._ctx.log.warning("the base domain has a route already; it becomes the apex", route=other.id)
            told = RouteCreated(resource=APEX_ID, details=f"{self._base} leads to the OS UI", hostname=self._base)
            await self._routes.put([row, *moved], gone=[other.id] if other is not None else (), events=[told])

    async def keep_apps(self) -> None:
        """Make the routes of apps that have none, and remove those of apps that are gone."""
        apps = await self._resolver.apps()
        if apps is None:
            return
        for row in self._routes.all():
            if row.app_id is not None and (row.app_id not in apps or apps[row.app_id].status == "failed"):
                await self._remove(row.app_id)
        named = {row.upstream_id for row in self._routes.all() if row.upstream_type == "app" and row.status != "error"}
        for app_id in sorted(id for id in named if id is not None and id not in apps):
            await self._park(app_id, app_id)
        await self._domains.forget_apps(set(apps))
        for app in apps.values():
            if app.status not in _UNMADE:
                await self._add(app.id, app.name)

    async def _on_app(self, envelope: Envelope) -> None:
        if envelope.type == "app.installed":
            await self._add(envelope.resource, str(envelope.data["name"]))
            return
        if envelope.type in ("app.uninstalled", "app.install_failed"):
            await self._remove(envelope.resource)
        if envelope.type == "app.uninstalled":
            await self._park(envelope.resource, str(envelope.data["name"]))
            await self._domains.forget_app(envelope.resource)
        if self._applier is not None:
            try:
                await self._applier.refresh(envelope.type)
            except DatabaseUnavailable:
                raise  # the event is handed over again once the database is back
            except CloudOSError as error:
                self._ctx.log.warning("routes could not follow an app", app=envelope.resource, reason=error.message)

    async def _add(self, app_id: str, name: str) -> None:
        if self._base is None:
            return
        try:
            hostname = normalise(f"{name}.{self._base}")
        except BadHostname:
            return  # an app whose name is no part of a hostname
        async with self._routes.lock:
            if self._routes.of_app(app_id) is not None:
                return
            if self._names.owns(hostname):
                self._ctx.log.warning("the app's name is the node's own; it gets no route by itself", app=app_id)
                return
            other = self._routes.at(hostname)
            if other is not None:
                self._ctx.log.warning("the app's name has a route already", app=app_id, route=other.id)
                return
            row = replace(self._new(new_id("route"), "app", hostname, "app"), upstream_id=app_id, app_id=app_id)
            told = RouteCreated(resource=row.id, details=f"Made a route for the app {name}", hostname=hostname)
            await self._routes.put([row], events=[told])

    async def _remove(self, app_id: str) -> None:
        async with self._routes.lock:
            row = self._routes.of_app(app_id)
            if row is not None:
                gone = RouteDeleted(resource=row.id, details="Its app was uninstalled", hostname=row.hostname)
                await self._routes.put(gone=[row.id], events=[gone])

    async def _park(self, app_id: str, name: str) -> None:
        """Take the routes that people led to an app out of service; they stay, to be led elsewhere."""
        why = f"There is no app {app_id!r}, since {name} was uninstalled; lead the route elsewhere, or delete it."
        async with self._routes.lock:
            parked = [
                replace(row, status="error", error=why, updated_at=self._ctx.clock.now())
                for row in self._routes.all()
                if (row.upstream_type, row.upstream_id) == ("app", app_id)
            ]
            events = [
                RouteUpdated(
                    resource=row.id, details=f"{row.hostname}: {why}", hostname=row.hostname, fields=["status"]
                )
                for row in parked
            ]
            if parked:
                await self._routes.put(parked, events=events)

    def _moved(self, old: str) -> list[RouteRow]:
        """Return the apps' routes below the old base domain as they are below the new one."""
        tail = f".{old}"
        return [
            replace(row, hostname=f"{row.hostname.removesuffix(tail)}.{self._base}", status="pending")
            for row in self._routes.all()
            if row.kind == "app" and row.hostname.endswith(tail)
        ]

    def _new(self, id: str, kind: str, hostname: str, upstream_type: str) -> RouteRow:
        now = self._ctx.clock.now()
        return RouteRow(
            id=id,
            kind=kind,
            hostname=hostname,
            path_prefix="",
            upstream_type=upstream_type,
            upstream_id=None,
            upstream_addr=None,
            require_auth=False,
            options="",
            secret_options="",
            app_id=None,
            status="pending",
            error=None,
            created_at=now,
            updated_at=now,
            by_admin=kind == "apex",
        )
