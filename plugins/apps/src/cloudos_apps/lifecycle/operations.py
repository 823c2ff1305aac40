"""The long work: install, update, uninstall. Each is an operation that is done again, or undone, after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from cloudos_sdk import Context, NotFound, Operation
from cloudos_sdk.events import AppInstalled, AppInstallFailed, AppUninstalled

from cloudos_apps.consent.service import ConsentService
from cloudos_apps.engine.errors import DockerUnreachable
from cloudos_apps.lifecycle.containers import Containers, volume_names
from cloudos_apps.lifecycle.update import Updater
from cloudos_apps.models import App
from cloudos_apps.store import AppStore, template_of

Result = Mapping[str, Any] | None


class AppOperations:
    """Runs the operations `install`, `update` and `uninstall`."""

    def __init__(self, ctx: Context, store: AppStore, containers: Containers, consent: ConsentService) -> None:
        self._ctx = ctx
        self._store = store
        self._containers = containers
        self._consent = consent
        self._updater = Updater(ctx, store, containers, consent)
        self._ended: dict[str, asyncio.Event] = {}

    def register(self) -> None:
        """Register the operations, which resumes interrupted ones."""
        self._ctx.operations.register("install", self._install, audience="apps:read")
        self._ctx.operations.register("update", self._update, audience="apps:read")
        self._ctx.operations.register("uninstall", self._uninstall, audience="apps:read")

    def ended(self, app_id: str) -> asyncio.Event:
        """Return an event that is set when the next uninstall of an app ends."""
        return self._ended.setdefault(app_id, asyncio.Event())

    async def _install(self, operation: Operation) -> Result:
        async with self._store.locks[operation.resource]:
            app = await self._find(operation)
            if app is None or app.status != "installing":
                return None  # the host died between the last step and the note that it is done
            try:
                if operation.resumed:
                    await self._wait_for_engine(operation)
                    await self._containers.remove(app.id, orjson.loads(app.volumes))
                await self._bring_up(app, operation)
            except asyncio.CancelledError:
                if operation.cancel_requested:
                    await self._give_up(app, "It was cancelled.")
                raise
            except Exception as error:
                await self._give_up(app, str(error))
                raise
            details = f"Installed {template_of(app).display_name} from template"
            told = AppInstalled(resource=app.id, details=details, name=app.name, template=app.template)
            await self._store.change(app.id, told, status="running", error=None)
            return {"app_id": app.id}

    async def _bring_up(self, app: App, operation: Operation) -> None:
        containers, template = self._containers, template_of(app)
        specs = containers.specs(app, template, self._store.config(app), orjson.loads(app.ports), app.generation)
        await containers.pull(specs, operation.progress, 0.7)
        app = await self._store.change(app.id, volumes=orjson.dumps(volume_names(app.id, template)).decode())
        await operation.progress(0.75, "Creating containers")
        await self._consent.recheck(app)
        await containers.create(app, specs)
        await containers.start(
            app,
            template,
            app.generation,
            wait=True,
            progress=operation.progress,
            hidden=self._store.hidden(app),
        )

    async def _give_up(self, app: App, reason: str) -> None:
        """Remove all that an install made; its row stays, to say why, and frees its ports.

        Where the engine is away too, the volumes stay in the row, and the sweep at its return removes everything.
        """
        volumes = (await self._store.get(app.id)).volumes
        try:
            await self._containers.remove(app.id, orjson.loads(volumes))
            volumes = "[]"
        except Exception as error:  # noqa: BLE001 - the first failure is the one to report
            self._ctx.log.warning("a failed install could not be cleaned up yet", app=app.id, error=str(error))
        failed = AppInstallFailed(
            resource=app.id,
            details=f"The install of {app.name} failed",
            name=app.name,
            template=app.template,
            reason=reason,
        )
        await self._store.change(
            app.id,
            failed,
            status="failed",
            intended="stopped",
            error=reason,
            ports="{}",
            addr=None,
            volumes=volumes,
            rights="[]",
            mounts="[]",
        )

    async def _update(self, operation: Operation) -> Result:
        async with self._store.locks[operation.resource]:
            app = await self._find(operation)
            if app is None or app.status != "updating":
                return None
            if operation.resumed:
                await self._wait_for_engine(operation)
            await self._updater.update(app, operation)
            return {"app_id": app.id}

    async def _uninstall(self, operation: Operation) -> Result:
        """Remove an app. An engine that goes away meanwhile is waited for: the promise to remove it is given."""
        try:
            app = await self._find(operation)
            while app is not None:
                try:
                    await self._take_down(app, operation)
                    break
                except DockerUnreachable:
                    await self._wait_for_engine(operation)
        finally:
            self.ended(operation.resource).set()
            self._ended.pop(operation.resource, None)
        return None

    async def _take_down(self, app: App, operation: Operation) -> None:
        purge = bool(operation.input["purge"])
        await operation.progress(0.1, f"Stopping {app.name}")
        try:
            await self._containers.stop(app.id, template_of(app), app.generation)
            await self._containers.remove(app.id, orjson.loads(app.volumes) if purge else ())
        except DockerUnreachable:
            raise
        except asyncio.CancelledError:
            if operation.cancel_requested:
                await self._store.change(app.id, status="stopped", error="Its removal was cancelled.")
            raise
        except Exception as error:
            await self._store.change(app.id, status="crashed", error=f"It could not be removed: {error}")
            raise
        details = f"Uninstalled {app.name} {'with' if purge else 'and kept'} its volumes"
        await self._store.forget(app.id, AppUninstalled(resource=app.id, details=details, name=app.name, purged=purge))

    async def _wait_for_engine(self, operation: Operation) -> None:
        while True:
            try:
                await self._containers.engine.version()
            except DockerUnreachable:
                await operation.progress(0.0, "Waiting for the Docker Engine")
                await asyncio.sleep(1)
            else:
                return

    async def _find(self, operation: Operation) -> App | None:
        try:
            return await self._store.get(operation.resource)
        except NotFound:
            return None
