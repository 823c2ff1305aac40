"""The long work: install, update, uninstall. Each is an operation that is done again, or undone, after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from cloudos_sdk import Context, NotFound, Operation
from cloudos_sdk.events import AppInstalled, AppInstallFailed, AppUninstalled, AppUpdated

from cloudos_apps.containers import Containers, volume_names
from cloudos_apps.events import AppUpdateFailed
from cloudos_apps.models import App
from cloudos_apps.store import AppStore, template_of
from cloudos_apps.templates.model import Template

Result = Mapping[str, Any] | None


class Installer:
    """Runs the operations `install`, `update` and `uninstall`."""

    def __init__(self, ctx: Context, store: AppStore, containers: Containers) -> None:
        self._ctx = ctx
        self._store = store
        self._containers = containers
        self._ended: dict[str, asyncio.Event] = {}

    def register(self) -> None:
        """Take up what a crash interrupted."""
        self._ctx.operations.register("install", self._install)
        self._ctx.operations.register("update", self._update)
        self._ctx.operations.register("uninstall", self._uninstall)

    async def ended(self, app_id: str) -> None:
        """Wait for the end of the uninstall of an app."""
        await self._ended.setdefault(app_id, asyncio.Event()).wait()

    async def _install(self, operation: Operation) -> Result:
        app = await self._find(operation)
        if app is None or app.status != "installing":
            return None
        if operation.resumed:
            await self._containers.remove(app.id, orjson.loads(app.volumes))
        template = template_of(app)
        try:
            await self._bring_up(app, template, operation)
        except asyncio.CancelledError:
            if operation.cancel_requested:
                await self._give_up(app, "it was cancelled")
            raise
        except Exception as error:
            await self._give_up(app, str(error))
            raise
        told = AppInstalled(
            resource=app.id,
            details=f"Installed {template.display_name} from template",
            name=app.name,
            template=app.template,
        )
        await self._store.change(app.id, told, status="running", error=None)
        return {"app_id": app.id}

    async def _bring_up(self, app: App, template: Template, operation: Operation) -> None:
        containers = self._containers
        specs = containers.specs(app, template, self._store.config(app), orjson.loads(app.ports), app.generation)
        await containers.pull(specs, operation.progress, 0.7)
        app = await self._store.change(app.id, volumes=orjson.dumps(volume_names(app.id, template)).decode())
        await operation.progress(0.75, "Creating containers")
        await containers.create(app, specs)
        await containers.start(app, template, app.generation, wait=True, progress=operation.progress)

    async def _give_up(self, app: App, reason: str) -> None:
        """Remove all that an install made; its row stays, to say why, and frees its ports."""
        try:
            volumes = orjson.loads((await self._store.get(app.id)).volumes)
            await self._containers.remove(app.id, volumes)
        except Exception as error:  # noqa: BLE001 - the first failure is the one to report; the sweep at the next start cleans up
            self._ctx.log.warning("a failed install could not be cleaned up", app=app.id, error=str(error))
        failed = AppInstallFailed(
            resource=app.id,
            details=f"The install of {app.name} failed",
            name=app.name,
            template=app.template,
            reason=reason,
        )
        await self._store.change(
            app.id, failed, status="failed", intended="stopped", error=reason, ports="{}", addr=None
        )

    async def _update(self, operation: Operation) -> Result:
        """Swap generation n for n+1; which of them the row names decides, after a crash, whether it was done."""
        app = await self._find(operation)
        target = int(operation.input["generation"])
        if app is None or app.status != "updating":
            return None
        if app.generation < target:
            new = Template.model_validate_json(operation.input["template"])
            try:
                app = await self._swap(app, new, target, operation)
            except asyncio.CancelledError:
                if operation.cancel_requested:
                    await self._go_back(app, target, "it was cancelled")
                raise
            except Exception as error:
                await self._go_back(app, target, str(error))
                raise
        for state in await self._containers.engine.states(app.id):
            if state.generation < target:
                await self._containers.engine.remove_containers(app.id, generation=state.generation)
        if app.intended == "stopped":
            await self._containers.stop(app.id, template_of(app), target)
        await self._store.change(app.id, status=app.intended, error=None)
        return {"app_id": app.id}

    async def _swap(self, app: App, new: Template, target: int, operation: Operation) -> App:
        containers, config = self._containers, operation.input["config"]
        await containers.engine.remove_containers(app.id, generation=target)
        ports = operation.input["ports"]
        specs = containers.specs(app, new, config, ports, target)
        await containers.pull(specs, operation.progress, 0.6)
        volumes = list(dict.fromkeys(orjson.loads(app.volumes) + volume_names(app.id, new)))
        app = await self._store.change(app.id, volumes=orjson.dumps(volumes).decode())
        await operation.progress(0.65, "Creating containers")
        await containers.create(app, specs)
        await operation.progress(0.7, "Stopping the old containers")
        await containers.stop(app.id, template_of(app), app.generation)
        await containers.start(app, new, target, wait=True, progress=operation.progress)
        updated = AppUpdated(resource=app.id, details=f"Updated {app.name} to {new.version}", name=app.name)
        return await self._store.change(
            app.id,
            updated,
            generation=target,
            template_json=new.model_dump_json(),
            version=new.version,
            config=self._store.sealed(config),
            ports=orjson.dumps(ports).decode(),
            addr=operation.input["addr"],
        )

    async def _go_back(self, app: App, target: int, reason: str) -> None:
        """Remove the new containers and start the old ones again."""
        status, error = app.intended, f"The update failed: {reason}"
        try:
            await self._containers.engine.remove_containers(app.id, generation=target)
            if app.intended == "running":
                template = template_of(app)
                await self._containers.start(app, template, app.generation, wait=False, progress=_ignore)
        except Exception as failure:  # noqa: BLE001 - the reason of the update's failure is the one to report
            self._ctx.log.error("an update could not be undone", app=app.id, error=str(failure))
            status, error = "crashed", f"{error} The old containers do not start either: {failure}"
        failed = AppUpdateFailed(
            resource=app.id, details=f"The update of {app.name} failed", name=app.name, reason=reason
        )
        await self._store.change(app.id, failed, status=status, error=error)

    async def _uninstall(self, operation: Operation) -> Result:
        app = await self._find(operation)
        purge = bool(operation.input["purge"])
        try:
            if app is not None:
                await operation.progress(0.1, f"Stopping {app.name}")
                try:
                    await self._containers.stop(app.id, template_of(app), app.generation)
                    await self._containers.remove(app.id, orjson.loads(app.volumes) if purge else ())
                except Exception as error:
                    await self._store.change(app.id, status="crashed", error=f"It could not be removed: {error}")
                    raise
                kept = "with its volumes" if purge else "and kept its volumes"
                gone = AppUninstalled(
                    resource=app.id, details=f"Uninstalled {app.name} {kept}", name=app.name, purged=purge
                )
                await self._store.forget(app.id, gone)
        finally:
            self._ended.setdefault(operation.resource, asyncio.Event()).set()
            self._ended.pop(operation.resource, None)
        return None

    async def _find(self, operation: Operation) -> App | None:
        try:
            return await self._store.get(operation.resource)
        except NotFound:
            return None


async def _ignore(fraction: float, message: str, **detail: Any) -> None:
    """Report progress to nobody."""
