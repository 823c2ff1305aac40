"""An app held still while a backup reads its volumes or a restore puts others in their place."""

from __future__ import annotations

import orjson
from cloudos_sdk import CloudOSError, Conflict, Context, DatabaseUnavailable
from cloudos_sdk.capabilities import Hold
from cloudos_sdk.events import AppStarted, AppStopped

from cloudos_apps.consent.service import ConsentService
from cloudos_apps.engine.errors import DockerUnreachable
from cloudos_apps.lifecycle.containers import Containers
from cloudos_apps.models import App
from cloudos_apps.store import STEADY, AppStore, busy, template_of

_WITH_HOST = ("pause", "stop")


class Holds:
    """Holds apps and lets them go. The row says how; a hold of a host that has died is void."""

    def __init__(self, ctx: Context, store: AppStore, containers: Containers, consent: ConsentService) -> None:
        self._ctx = ctx
        self._store = store
        self._containers = containers
        self._consent = consent
        self._active: set[str] = set()

    async def hold(self, app_id: str, how: Hold) -> None:
        """Hold an app; the row says so first, so that whatever ends us leaves an app that goes on again."""
        if how == "none":
            return
        async with self._store.locks[app_id]:
            app = await self._store.get(app_id)
            if app.status not in STEADY:
                raise busy(app)
            if app.held != "trial":
                app = await self._store.change(app_id, held=how)
            self._active.add(app_id)
            try:
                if how == "pause":
                    for state in await self._containers.engine.states(app_id):
                        if state.generation == app.generation and state.status == "running":
                            await self._containers.engine.pause(state.id)
                else:
                    await self._containers.stop(app_id, template_of(app), app.generation)
            except BaseException:
                self._active.discard(app_id)
                raise

    async def let_go(self, app_id: str, *, wait: bool = False) -> None:
        """Let an app go on. Where it does not become well and that was waited for, it stays held."""
        async with self._store.locks[app_id]:
            self._active.discard(app_id)
            app = await self._store.get(app_id)
            if app.held is not None:
                await self._go_on(app, wait)

    async def end_void(self, app: App) -> None:
        """Let an app go on whose holder has died with its host. The caller has the app's lock."""
        if app.held in _WITH_HOST and app.id not in self._active:
            self._ctx.log.warning("an app that was held when the host ended goes on", app=app.id, held=app.held)
            await self._go_on(app, False)

    async def _go_on(self, app: App, wait: bool) -> None:
        if app.held == "pause":
            for state in await self._containers.engine.states(app.id):
                if state.status == "paused":
                    await self._containers.engine.unpause(state.id)
            await self._store.change(app.id, held=None)
            return
        held = "trial" if app.held == "trial" else None
        if app.intended == "stopped":
            await self._store.change(app.id, held=held)
            return
        try:
            await self._start(app, wait)
        except (DockerUnreachable, DatabaseUnavailable):
            raise
        except CloudOSError as error:
            if wait or held is not None:
                raise
            await self._containers.stop(app.id, template_of(app), app.generation)
            told = AppStopped(resource=app.id, details=f"{app.name} could not be started", name=app.name)
            stopped = [told] if app.status == "running" else []
            values = {"status": "stopped", "intended": "stopped", "error": error.message}
            await self._store.change(app.id, *stopped, held=None, **values)
            raise
        started = AppStarted(resource=app.id, details=f"Started {app.name}", name=app.name)
        events = [started] if app.status != "running" and held is None else []
        await self._store.change(app.id, *events, held=held, status="running", error=None)

    async def _start(self, app: App, wait: bool) -> None:
        template = template_of(app)
        await self._consent.recheck(app)
        ports = orjson.loads(app.ports)
        specs = self._containers.specs(app, template, self._store.config(app), ports, app.generation)
        await self._containers.create(app, specs)
        await self._containers.start(app, template, app.generation, wait=wait, hidden=self._store.hidden(app))


def check_closed(app: App) -> None:
    """Raise Conflict where an app is not held so that its volumes may be changed."""
    if app.held not in ("close", "trial"):
        raise Conflict("app_not_held", f"{app.name} is not held; nothing of it may be changed now.")
