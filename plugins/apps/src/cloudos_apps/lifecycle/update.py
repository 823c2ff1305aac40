"""Updates of apps: generation n is replaced by n+1, or restored if n+1 does not become healthy."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from cloudos_sdk import Context, Operation
from cloudos_sdk.events import AppUpdated

from cloudos_apps.consent.service import ConsentService
from cloudos_apps.events import AppUpdateFailed
from cloudos_apps.lifecycle.containers import Containers, volume_names
from cloudos_apps.models import App
from cloudos_apps.store import AppStore, hidden_in, template_of
from cloudos_apps.templates.model.template import Template


class Updater:
    """Replaces generations of apps. The generation named in the row is in force."""

    def __init__(self, ctx: Context, store: AppStore, containers: Containers, consent: ConsentService) -> None:
        self._ctx = ctx
        self._store = store
        self._containers = containers
        self._consent = consent

    async def update(self, app: App, operation: Operation) -> None:
        """Bring an app to the generation, template and settings of the operation's input."""
        target = int(operation.input["generation"])
        before = orjson.loads(app.volumes)
        if app.generation < target:
            try:
                app = await self._swap(app, target, operation)
            except asyncio.CancelledError:
                if operation.cancel_requested and not await self._committed(app.id, target):
                    await self._go_back(app, target, before, "It was cancelled.")
                raise
            except Exception as error:
                await self._go_back(app, target, before, str(error))
                raise
        for generation in {state.generation for state in await self._containers.engine.states(app.id)}:
            if generation < target:
                await self._containers.remove_generation(app.id, generation)
        if app.intended == "stopped":
            await self._containers.stop(app.id, template_of(app), target)
        await self._store.change(app.id, status=app.intended, error=None)

    async def _swap(self, app: App, target: int, operation: Operation) -> App:
        containers, given = self._containers, operation.input
        new, config, ports = Template.model_validate_json(given["template"]), given["config"], given["ports"]
        await containers.remove_generation(app.id, target)  # those of an attempt that was interrupted
        specs = containers.specs(app, new, config, ports, target)
        await containers.pull(specs, operation.progress, 0.6)
        volumes = list(dict.fromkeys(orjson.loads(app.volumes) + volume_names(app.id, new)))
        app = await self._store.change(app.id, volumes=orjson.dumps(volumes).decode())
        await operation.progress(0.65, "Creating containers")
        rights, mounts = await self._consent.recheck_change(app, new, given)
        await containers.create(app, specs)
        await operation.progress(0.7, "Stopping the old containers")
        await containers.stop(app.id, template_of(app), app.generation)
        hidden = [*hidden_in(new, config), *self._store.hidden(app)]
        await containers.start(app, new, target, wait=True, progress=operation.progress, hidden=hidden)
        updated = AppUpdated(resource=app.id, details=f"Updated {app.name} to {new.version}", name=app.name)
        changes: dict[str, Any] = {
            "generation": target,
            "template_json": new.model_dump_json(),
            "version": new.version,
            "config": self._store.sealed(config),
            "ports": orjson.dumps(ports).decode(),
            "addr": given["addr"],
            "rights": rights,
            "mounts": mounts,
            "source": given.get("source", app.source),
        }
        return await self._store.change(app.id, updated, **changes)

    async def _committed(self, app_id: str, target: int) -> bool:
        """Return whether the row names the new generation; the write may have committed despite a cancelled caller."""
        return (await self._store.get(app_id)).generation >= target

    async def _go_back(self, app: App, target: int, volumes: list[str], reason: str) -> None:
        """Remove the new containers and the volumes made for them, and start the old ones again."""
        engine, status = self._containers.engine, app.intended
        made = set(orjson.loads((await self._store.get(app.id)).volumes)) - set(volumes)
        error = f"The update failed, and the app is as it was before. {reason}"
        try:
            await self._containers.remove_generation(app.id, target)
            await engine.remove_volumes(sorted(made))
            if app.intended == "running":
                await self._consent.recheck(app)
                await self._containers.start(
                    app, template_of(app), app.generation, wait=False, hidden=self._store.hidden(app)
                )
        except Exception as failure:  # noqa: BLE001 - the reason of the update's failure is the one to report
            self._ctx.log.error("an update could not be undone", app=app.id, error=str(failure))
            status, error = "crashed", f"The update failed. {reason} The old containers do not start: {failure}"
        details = f"The update of {app.name} failed"
        failed = AppUpdateFailed(resource=app.id, details=details, name=app.name, reason=reason)
        kept, mounts = orjson.dumps(volumes).decode(), await self._consent.mounts(template_of(app))
        await self._store.change(app.id, failed, status=status, error=error, volumes=kept, mounts=mounts)
