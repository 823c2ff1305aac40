"""Installs, starts, stops, restarts, changes and uninstalls apps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Conflict, Context, DatabaseUnavailable, InvalidRequest, NotFound, new_id
from cloudos_sdk.events import AppRestarted, AppStarted, AppStopped
from sqlmodel import Session

from cloudos_apps.consent.mounts import packed, unpacked
from cloudos_apps.consent.service import ConsentService
from cloudos_apps.engine.errors import DockerUnreachable
from cloudos_apps.lifecycle.containers import Containers
from cloudos_apps.lifecycle.operations import AppOperations
from cloudos_apps.lifecycle.port_allocation import PortAllocator
from cloudos_apps.models import App
from cloudos_apps.schemas import AppChange, NewApp
from cloudos_apps.store import BUSY, STEADY, AppStore, busy, template_of
from cloudos_apps.templates.catalog import TemplateCatalog
from cloudos_apps.templates.model.template import Template, validate_config, wanted_ports

_PATIENCE = 60  # seconds that a DELETE waits for the end of its work


class AppService:
    """The apps of this node."""

    def __init__(
        self,
        ctx: Context,
        store: AppStore,
        containers: Containers,
        consent: ConsentService,
        installer: AppOperations,
        catalogue: TemplateCatalog,
    ) -> None:
        self._ctx = ctx
        self._store = store
        self._containers = containers
        self._consent = consent
        self._installer = installer
        self._catalogue = catalogue
        self._ports = PortAllocator(ctx.settings, store)
        self._tasks: set[asyncio.Task[App]] = set()

    async def install(self, wanted: NewApp) -> App:
        """Begin to install an app. Raises Conflict for a name or port that is taken, Forbidden for a danger."""
        template, origin = await self._catalogue.find(wanted.template)
        config = validate_config(template, wanted.config)
        await self._consent.check_at_once(template, wanted_ports(template, config), origin, None, wanted.allow)
        await self._containers.engine.version()
        await self._containers.check_space()
        await self._clear_failed(wanted.name)
        look = await self._consent.look(template)
        app_id, now = new_id("app"), self._ctx.clock.now()

        def begin(session: Session) -> App:
            ports = self._ports.choose(session, template, config, None)
            given = self._consent.take(session, app_id, wanted.name, template, ports, origin, look, None, wanted.allow)
            values = {
                "id": app_id,
                "name": wanted.name,
                "template": template.name,
                "version": template.version,
                "status": "installing",
                "intended": "running",
                "generation": 1,
                "template_json": template.model_dump_json(),
                "config": self._store.sealed(config),
                "ports": orjson.dumps(ports).decode(),
                "volumes": "[]",
                "rights": given.rights,
                "mounts": given.mounts,
                "source": origin,
                "addr": self._ports.address(template, ports),
                "created_at": now,
                "updated_at": now,
            }
            title = f"Install {template.display_name} as {wanted.name}"
            values["operation_id"] = self._ctx.operations.start(session, "install", app_id, title, {})
            self._store.begin(session, values)
            return session.get_one(App, app_id)

        return await self._ports.naming_holder(self._ctx.db.write(begin))

    async def _clear_failed(self, name: str) -> None:
        """Remove what a failed install of this name left on the engine, before its row is deleted."""
        app = await self._store.failed(name)
        if app is not None and app.volumes != "[]":
            await self._containers.remove(app.id, orjson.loads(app.volumes))
            await self._store.change(app.id, volumes="[]")

    async def start(self, app_id: str) -> App:
        """Start an app; does nothing if it runs."""
        return await self._act(app_id, "running", self._start)

    async def stop(self, app_id: str) -> App:
        """Stop an app; does nothing if it is stopped."""
        return await self._act(app_id, "stopped", self._stop)

    async def restart(self, app_id: str) -> App:
        """Stop an app and start it again."""
        return await self._act(app_id, "running", self._restart)

    async def _act(self, app_id: str, intended: str, work: Callable[[App], Awaitable[App]]) -> App:
        """Store the desired state, then act, to the end even if the caller is cancelled."""
        await self._steady(app_id)
        await self._containers.engine.version()

        async def act() -> App:
            async with self._store.locks[app_id]:
                await self._steady(app_id)
                return await work(await self._store.change(app_id, expect=STEADY, intended=intended))

        task = asyncio.create_task(act(), name=f"apps:{intended}:{app_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Interrupt running actions; the next start completes them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start(self, app: App) -> App:
        if app.status == "running":
            return app
        await self._start_containers(app)
        told = AppStarted(resource=app.id, details=f"Started {app.name}", name=app.name)
        return await self._store.change(app.id, told, expect=STEADY, status="running", error=None)

    async def _stop(self, app: App) -> App:
        if app.status == "stopped":
            return app
        await self._containers.stop(app.id, template_of(app), app.generation)
        told = AppStopped(resource=app.id, details=f"Stopped {app.name}", name=app.name)
        return await self._store.change(app.id, told, expect=STEADY, status="stopped", error=None)

    async def _restart(self, app: App) -> App:
        await self._containers.stop(app.id, template_of(app), app.generation)
        await self._start_containers(app)
        told = AppRestarted(resource=app.id, details=f"Restarted {app.name}", name=app.name)
        return await self._store.change(app.id, told, expect=STEADY, status="running", error=None)

    async def _start_containers(self, app: App) -> None:
        """Start all containers, recreating missing ones; if one fails, all are stopped."""
        template = template_of(app)
        try:
            await self._consent.recheck(app)
            await self._containers.create(app, self._specs(app, template))
            await self._containers.start(app, template, app.generation, wait=False, hidden=self._store.hidden(app))
        except (DockerUnreachable, DatabaseUnavailable):
            raise  # what is wanted stays wanted: it is done once the engine is back
        except CloudOSError as error:
            await self._containers.stop(app.id, template, app.generation)
            told = AppStopped(resource=app.id, details=f"{app.name} could not be started", name=app.name)
            events = [told] if app.status == "running" else []
            await self._store.change(
                app.id, *events, expect=STEADY, status="stopped", intended="stopped", error=error.message
            )
            raise

    async def change(self, app_id: str, wanted: AppChange) -> App:
        """Begin to change an app's settings, or to bring it to its template's version."""
        app = await self._steady(app_id)
        template, origin = template_of(app), app.source or ""
        if wanted.version is not None and wanted.version != template.version:
            template, origin = await self._catalogue.find(app.template)
            if wanted.version not in (template.version, "latest"):
                raise InvalidRequest.field("version", f"the catalogue has {template.version} of {app.template}")
        given: dict[str, Any] = {**self._store.config(app), **wanted.config}
        known = {field.name for field in template.config}
        kept = {k: v for k, v in given.items() if v is not None and (k in known or k in wanted.config)}
        config = validate_config(template, kept)
        if (template, config) == (template_of(app), self._store.config(app)):
            return app  # nothing would be another
        await self._consent.check_at_once(template, wanted_ports(template, config), origin, app, wanted.allow)
        await self._containers.engine.version()
        await self._containers.check_space()
        look = await self._consent.look(template)

        def begin(session: Session) -> App:
            found: App = session.get_one(App, app_id)
            if found.status in BUSY or found.held is not None or found.generation != app.generation:
                raise busy(found)
            ports = self._ports.choose(session, template, config, found)
            given = self._consent.take(session, app_id, found.name, template, ports, origin, look, found, wanted.allow)
            input = {
                "generation": found.generation + 1,
                "template": template.model_dump_json(),
                "config": config,
                "ports": ports,
                "addr": self._ports.address(template, ports),
                "rights": given.rights,
                "mounts": given.mounts,
                "source": origin,
            }
            found.mounts = packed([*unpacked(found.mounts), *unpacked(given.mounts)])  # until it is done or undone
            title = f"Update {found.name}"
            found.operation_id = self._ctx.operations.start(session, "update", app_id, title, input)
            found.status, found.updated_at = "updating", self._ctx.clock.now()
            session.add(found)
            session.flush()
            self._store.changing(session)
            return found

        return await self._ports.naming_holder(self._ctx.db.write(begin))

    async def uninstall(self, app_id: str, *, purge: bool) -> bool:
        """Remove an app, with `purge` its volumes too; return whether it is removed, False if that takes longer."""
        await self._steady(app_id, "failed")
        await self._containers.engine.version()

        def begin(session: Session) -> None:
            found: App | None = session.get(App, app_id)
            if found is None:
                raise NotFound("app", app_id)
            if found.status in BUSY or found.held is not None:
                raise busy(found)
            title = f"Uninstall {found.name}"
            id = self._ctx.operations.start(session, "uninstall", app_id, title, {"purge": purge})
            found.operation_id, found.status, found.intended = id, "uninstalling", "stopped"
            session.add(found)
            self._store.changing(session)

        async with self._store.locks[app_id]:
            ended = self._installer.ended(app_id)
            await self._ctx.db.write(begin)
        try:
            async with asyncio.timeout(_PATIENCE):
                await ended.wait()
        except TimeoutError:
            return False
        try:
            left = await self._store.get(app_id)
        except NotFound:
            return True
        raise Conflict("uninstall_failed", left.error or f"{left.name} could not be removed.")

    async def _steady(self, app_id: str, *also: str) -> App:
        app = await self._store.get(app_id)
        if app.status not in STEADY and app.status not in also:
            if app.status == "failed":
                raise Conflict(
                    "app_failed", f"{app.name} was never installed: {app.error} Install it again, or delete it."
                )
            raise busy(app)
        if app.held is not None:
            raise busy(app)
        return app

    def _specs(self, app: App, template: Template) -> Sequence[Any]:
        ports = orjson.loads(app.ports)
        return self._containers.specs(app, template, self._store.config(app), ports, app.generation)
