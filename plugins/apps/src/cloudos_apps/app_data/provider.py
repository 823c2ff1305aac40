"""The capability `AppData`: what an app keeps, held still, copied, and made again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from cloudos_sdk import Conflict, Context, NotFound
from cloudos_sdk.capabilities import AppContents, DataDump, DataFolder, Hold, Making
from cloudos_sdk.events import AppInstalled, AppUninstalled, AppUpdated
from sqlmodel import Session

from cloudos_apps.app_data.definitions import Definition, apart, folder_name, read, written
from cloudos_apps.app_data.dumps import Dumps
from cloudos_apps.app_data.holds import Holds, check_closed
from cloudos_apps.consent.service import ConsentService
from cloudos_apps.lifecycle.containers import Containers, silent, volume_name, volume_names
from cloudos_apps.lifecycle.port_allocation import PortAllocator
from cloudos_apps.models import App
from cloudos_apps.store import BUSY, AppStore, template_of
from cloudos_apps.templates.model.template import wanted_ports


class DataProvider:
    """The data of the apps of this node, whose engine is on this machine."""

    def __init__(
        self, ctx: Context, store: AppStore, containers: Containers, consent: ConsentService, holds: Holds
    ) -> None:
        self._ctx = ctx
        self._store = store
        self._containers = containers
        self._consent = consent
        self._holds = holds
        self._dumps = Dumps(store, containers, consent)
        self._ports = PortAllocator(ctx.settings, store)

    async def contents(self, app_id: str) -> AppContents | None:
        """Return what an app consists of; None where there is none that was ever installed."""
        app = await self._find(app_id)
        if app is None or app.status in ("installing", "failed"):
            return None
        return await self._contents(app)

    async def _contents(self, app: App) -> AppContents:
        if not self._ctx.settings.docker_host.startswith("unix:"):
            raise Conflict(
                "engine_elsewhere", "The Docker Engine is on another machine; its volumes cannot be read here."
            )
        template = template_of(app)
        folders, dumps = {}, []
        for service in template.services:
            kept = [volume for volume in service.volumes if volume.kept]
            for volume in kept:
                name = folder_name(volume)
                if name not in folders:
                    where = volume.host_path
                    if volume.name is not None:
                        where = str(await self._containers.engine.mountpoint(volume_name(app.id, volume.name)) or "")
                    folders[name] = DataFolder(name, where or "", volume.name is not None)
            if service.dump is not None:
                named = tuple(folder_name(volume) for volume in kept if volume.name is not None)
                dumps.append(DataDump(service.dump.file, service.name, service.dump.volumes or named))
        return AppContents(
            id=app.id,
            name=app.name,
            template=app.template,
            version=app.version,
            running=app.status == "running" and app.held is None,
            hold=template.hold,
            folders=tuple(folders.values()),
            dumps=tuple(dumps),
            definition=written(app, template, self._store.config(app)),
        )

    async def hold(self, app_id: str, how: Hold) -> None:
        """Hold an app; see `Holds`."""
        await self._holds.hold(app_id, how)

    async def let_go(self, app_id: str, *, wait: bool = False) -> None:
        """Let an app go on; see `Holds`."""
        await self._holds.let_go(app_id, wait=wait)

    async def dump(self, app_id: str, name: str, path: str) -> None:
        """Have a running app write one of its dumps into a file."""
        await self._dumps.make(app_id, name, path)

    async def load(self, app_id: str, name: str, path: str) -> None:
        """Have the service of a dump, alone, read it from a file."""
        async with self._store.locks[app_id]:
            app = await self._store.get(app_id)
            check_closed(app)
            await self._dumps.load(app, name, path)

    async def check(self, definition: str, app_id: str, making: Making | None) -> Sequence[str]:
        """Return the rights that an app made so has, where the caller may give it those."""
        wanted = self._wanted(definition, making)
        app = await self._store.get(app_id) if making is None else None
        await self._consent.check_at_once(
            wanted.template, wanted_ports(wanted.template, wanted.config), wanted.source, app, wanted.rights
        )
        return wanted.rights

    async def make(
        self, definition: str, name: str, *, app_id: str, making: Making, rights: Sequence[str]
    ) -> AppContents:
        """Make an app with its images and empty volumes there, held as `close`."""
        wanted, now = self._wanted(definition, making), self._ctx.clock.now()
        template, look = wanted.template, await self._consent.look(wanted.template)
        await self._containers.engine.version()
        await self._containers.check_space()
        allowed = App(id=app_id, name=name, rights=orjson.dumps(list(rights)).decode(), mounts="[]", ports="{}")

        def begin(session: Session) -> None:
            ports = self._ports.choose(session, template, wanted.config, None)
            if making == "again":
                free = set(wanted.ports.values()).isdisjoint(self._store.taken_ports(session))
                ports = {**ports, **wanted.ports} if free and set(wanted.ports) == set(ports) else ports
            given = self._consent.take(session, app_id, name, template, ports, wanted.source, look, allowed, ())
            values: dict[str, Any] = {
                "id": app_id,
                "name": name,
                "template": template.name,
                "version": template.version,
                "status": "stopped",
                "intended": "running" if making == "trial" else wanted.intended,
                "generation": 1,
                "template_json": template.model_dump_json(),
                "config": self._store.sealed(wanted.config),
                "ports": orjson.dumps(ports).decode(),
                "volumes": orjson.dumps(volume_names(app_id, template)).decode(),
                "rights": given.rights,
                "mounts": given.mounts,
                "source": wanted.source,
                "held": "trial" if making == "trial" else "close",
                "addr": self._ports.address(template, ports),
                "created_at": now,
                "updated_at": now,
            }
            self._store.begin(session, values)

        await self._ports.naming_holder(self._ctx.db.write(begin))
        try:
            contents = await self.prepare(app_id)
        except BaseException:
            await self._take_away(await self._store.get(app_id))
            raise
        if making != "trial":
            details = f"Restored {name} from a backup"
            told = AppInstalled(resource=app_id, details=details, name=name, template=template.name)
            await self._store.change(app_id, told)
        return contents

    async def prepare(self, app_id: str) -> AppContents:
        """Have images and volumes of an app there; it is held as `close`."""
        async with self._store.locks[app_id]:
            app = await self._store.get(app_id)
            check_closed(app)
            template, ports = template_of(app), orjson.loads(app.ports)
            specs = self._containers.specs(app, template, self._store.config(app), ports, app.generation)
            await self._containers.pull(specs, silent, 1.0)
            volumes = list(dict.fromkeys([*orjson.loads(app.volumes), *volume_names(app.id, template)]))
            app = await self._store.change(app.id, volumes=orjson.dumps(volumes).decode())
            for volume in volumes:
                await self._containers.engine.create_volume(volume, app.id)
            paths = [v.host_path for service in template.services for v in service.volumes if v.host_path is not None]
            await asyncio.to_thread(self._containers.paths.make, paths)
            return await self._contents(app)

    async def define(self, app_id: str, definition: str) -> str:
        """Change an app that is held to what a definition says; return the definition of before."""
        wanted = read(definition)
        look = await self._consent.look(wanted.template)
        async with self._store.locks[app_id]:
            app = await self._store.get(app_id)
            check_closed(app)
            before = written(app, template_of(app), self._store.config(app))
            same = (wanted.template, dict(wanted.config)) == (template_of(app), self._store.config(app))
            if same and wanted.source == (app.source or ""):
                return before

            def change(session: Session) -> None:
                found = session.get_one(App, app_id)
                if found.status in BUSY or found.generation != app.generation:
                    raise Conflict("app_busy", f"{found.name} is {found.status}; wait until that is done.")
                ports = self._ports.choose(session, wanted.template, wanted.config, found)
                given = self._consent.take(
                    session, app_id, found.name, wanted.template, ports, wanted.source, look, found, ()
                )
                found.template, found.version = wanted.template.name, wanted.template.version
                found.template_json = wanted.template.model_dump_json()
                found.config, found.source = self._store.sealed(wanted.config), wanted.source
                found.ports, found.addr = (
                    orjson.dumps(ports).decode(),
                    self._ports.address(wanted.template, ports),
                )
                found.rights, found.mounts = given.rights, given.mounts
                found.generation, found.updated_at = found.generation + 1, self._ctx.clock.now()
                details = f"Changed {found.name} to what a backup has of it"
                self._ctx.events.emit(session, AppUpdated(resource=app_id, details=details, name=found.name))
                session.add(found)
                session.flush()
                self._store.changing(session)

            await self._ports.naming_holder(self._ctx.db.write(change))
            await self._containers.remove_generation(app_id, app.generation)
            return before

    async def remove(self, app_id: str) -> None:
        """Remove an app with all its data; it may be gone already."""
        app = await self._find(app_id)
        if app is not None:
            await self._take_away(app)

    async def _take_away(self, app: App) -> None:
        async with self._store.locks[app.id]:
            await self._containers.remove(app.id, orjson.loads(app.volumes))
            told = AppUninstalled(resource=app.id, details=f"Removed {app.name}", name=app.name, purged=True)
            await self._store.forget(app.id, *([] if app.held == "trial" else [told]))

    async def _find(self, app_id: str) -> App | None:
        try:
            return await self._store.get(app_id)
        except NotFound:
            return None

    @staticmethod
    def _wanted(definition: str, making: Making | None) -> Definition:
        wanted = read(definition)
        if making in (None, "again"):
            return wanted
        template, config = apart(wanted.template, wanted.config)
        return Definition(template, config, {}, wanted.source, wanted.rights, wanted.intended)
