"""Handles the engine's container events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from cloudos_sdk import CloudOSError, NotFound
from cloudos_sdk.events import AppCrashed, AppStarted, AppStopped

from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.engine.specs import ContainerState
from cloudos_apps.models import App
from cloudos_apps.store import STEADY, AppStore, template_of

_GONE = "its containers are gone; start it to make them again"


Turn = Callable[[], Awaitable[None]]
"""Waits until what happened to a container before is handled."""


class ContainerEvents:
    """Updates rows and emits events for container events, after running work on the app."""

    def __init__(self, engine: DockerEngine, store: AppStore) -> None:
        self._engine = engine
        self._store = store

    async def died(
        self,
        app_id: str,
        generation: int,
        service: str,
        container: str,
        code: int,
        at: float,
        asked: Callable[[], Awaitable[bool]],
        turn: Turn,
    ) -> None:
        """Handle a container's `die` event; `asked` is whether a stop was requested, `turn` waits for earlier ones."""
        before = await self._find(app_id)
        wanted = before is not None and before.intended == "running"
        logs = (
            await self._last_lines(before, container, at) if wanted and before else []
        )  # the engine may have it run again by now
        await turn()
        async with self._store.locks[app_id]:
            app = await self._find(app_id)
            if app is None or before is None or app.generation != generation or app.status not in STEADY:
                return
            if app.held not in (None, "pause"):
                return  # it is as its holder wants it
            if app.intended != "running" or (code == 0 and service in _run_once(app)):
                return
            if before.status not in STEADY and not await self.down(app):
                return  # it came back while it was installed or updated
            if await asked():
                if await self.down(app):
                    await self.stopped(app, "was stopped outside of Cloud OS")
                return
            await self.crashed(app, service, code, logs)

    async def started(self, app_id: str, generation: int, turn: Turn) -> None:
        """Handle the start of a container: with the last one of its app, the app runs."""
        await turn()
        async with self._store.locks[app_id]:
            app = await self._find(app_id)
            if app is None or app.generation != generation or app.status not in ("stopped", "crashed"):
                return
            if app.held is not None:
                return
            if not await self.down(app):
                await self.runs(app)

    async def destroyed(self, app_id: str, generation: int) -> None:
        """Handle a container's `destroy` event."""
        async with self._store.locks[app_id]:
            app = await self._find(app_id)
            if app is None or app.generation != generation or app.status not in STEADY or app.intended != "running":
                return
            if app.held is not None:
                return
            if not await self.current(app):
                await self.gone(app)

    async def current(self, app: App) -> list[ContainerState]:
        """Return the containers of the generation in force."""
        return [state for state in await self._engine.states(app.id) if state.generation == app.generation]

    async def down(self, app: App, states: Sequence[ContainerState] | None = None) -> list[str]:
        """Return the services that should run and do not."""
        found = await self.current(app) if states is None else states
        up = {s.service for s in found if s.status in ("running", "paused")}
        up |= {s.service for s in found if s.status == "exited" and s.exit_code == 0 and s.service in _run_once(app)}
        return [service.name for service in template_of(app).services if service.name not in up]

    async def crashed(self, app: App, service: str, code: int, logs: list[str]) -> None:
        """Note that a service of an app ended by itself."""
        details = f"{app.name}: {service} ended by itself with exit code {code}"
        if app.status == "crashed" and app.error == details:
            return  # it was told when the containers were compared, and the event came after it
        told = AppCrashed(resource=app.id, details=details, name=app.name, service=service, exit_code=code, logs=logs)
        await self._store.change(app.id, told, expect=STEADY, status="crashed", error=details)

    async def crashed_meanwhile(self, app: App, state: ContainerState) -> None:
        """Record a crash that happened while the host was down."""
        await self.crashed(app, state.service, state.exit_code, await self._last_lines(app, state.id))

    async def gone(self, app: App) -> None:
        """Note that an app has no containers any more."""
        if app.status != "crashed":
            details = f"{app.name}: {_GONE}"
            told = AppCrashed(resource=app.id, details=details, name=app.name, service="", exit_code=-1, logs=[])
            await self._store.change(app.id, told, expect=STEADY, status="crashed", error=_GONE)

    async def stopped(self, app: App, how: str) -> None:
        """Note that an app was stopped behind our back."""
        if app.status != "stopped":
            told = AppStopped(resource=app.id, details=f"{app.name} {how}", name=app.name)
            await self._store.change(app.id, told, expect=STEADY, status="stopped", intended="stopped", error=None)

    async def runs(self, app: App) -> None:
        """Record that an app runs again, by the engine's restart policy or another client."""
        how = "started again by the engine" if app.intended == "running" else "started outside of Cloud OS"
        told = AppStarted(resource=app.id, details=f"{app.name} was {how}", name=app.name)
        await self._store.change(app.id, told, expect=STEADY, status="running", intended="running", error=None)

    async def _last_lines(self, app: App, container: str, until: float | None = None) -> list[str]:
        try:
            return await self._engine.last_lines(container, until=until, hidden=self._store.hidden(app))
        except CloudOSError:
            return []  # it is gone already

    async def _find(self, app_id: str) -> App | None:
        try:
            return await self._store.get(app_id)
        except NotFound:
            return None


def _run_once(app: App) -> set[str]:
    """Return the services that do their work once and end."""
    return {service.name for service in template_of(app).services if service.restart == "no" or service.one_shot}
