"""The engine's event stream: an app's state follows what really happens, also behind our back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Mapping
from typing import Any

from cloudos_sdk import CloudOSError, Context
from cloudos_sdk.events import AppCrashed, AppStarted, AppStopped

from cloudos_apps.docker_engine import APP, GENERATION, NODE, SERVICE, ContainerState, DockerEngine
from cloudos_apps.models import App
from cloudos_apps.service import AppService
from cloudos_apps.store import AppStore, template_of

_STILL = frozenset({"running", "stopped", "crashed"})
_AWAY = {"engine": "away"}
_BACK = {"engine": "back"}


class Watcher:
    """Follows the engine in a thread of its own, and tells rows and events what it saw."""

    def __init__(self, ctx: Context, engine: DockerEngine, store: AppStore, service: AppService) -> None:
        self._ctx = ctx
        self._engine = engine
        self._store = store
        self._service = service
        self._seen: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._stopping = threading.Event()
        self._stream: Any = None
        self._asked_to_stop: set[str] = set()
        self.reason: str | None = "the engine has not answered yet"
        self.followed = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        loop = asyncio.get_running_loop()

        def tell(item: Mapping[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(self._seen.put_nowait, item)

        thread = threading.Thread(target=self._follow, args=(tell,), name="docker-events", daemon=True)
        thread.start()
        try:
            while True:
                item = await self._seen.get()
                try:
                    await self._handle(item)
                except CloudOSError as error:
                    self._ctx.log.warning("an engine event could not be handled", error=error.message)
        finally:
            self._stopping.set()
            if self._stream is not None:
                self._stream.close()

    def _follow(self, tell: Any) -> None:
        wait = 0.25
        while not self._stopping.is_set():
            client = None
            try:
                client = self._engine.connect()
                filters = {"type": "container", "label": f"{NODE}={self._engine.node}"}
                self._stream = client.events(decode=True, filters=filters)
                tell(_BACK)
                wait = 0.25
                for event in self._stream:
                    tell(event)
                reason = "the engine ended its event stream"
            except Exception as error:  # noqa: BLE001 - whatever ended the stream, it is taken up again
                reason = error.message if isinstance(error, CloudOSError) else f"{type(error).__name__}: {error}"
            finally:
                if client is not None:
                    client.close()
            if not self._stopping.is_set():
                tell({**_AWAY, "reason": reason})
            self._stopping.wait(wait)
            wait = min(5.0, wait * 2)

    async def _handle(self, item: Mapping[str, Any]) -> None:
        if item.get("engine") == "away":
            self.reason = item["reason"]
            return
        if item.get("engine") == "back":
            self.reason = None
            await self.reconcile()
            self.followed.set()
            return
        attributes = item["Actor"]["Attributes"]
        container, action = item["Actor"]["ID"], item["Action"]
        app = await self._app(attributes[APP])
        if app is None or int(attributes[GENERATION]) != app.generation:
            return
        if action == "kill":
            await self._note_signal(container, attributes.get("signal", ""))
        elif action == "die":
            asked = container in self._asked_to_stop
            self._asked_to_stop.discard(container)
            await self._died(app, attributes[SERVICE], container, int(attributes.get("exitCode", 0)), asked=asked)
        elif action == "start":
            self._asked_to_stop.discard(container)
            await self._started(app)

    async def _note_signal(self, container: str, number: str) -> None:
        """Remember a container that was sent its stop signal: `docker stop` does that, `docker kill` sends another."""
        wanted = await self._engine.call(lambda client: client.inspect_container(container)["Config"].get("StopSignal"))
        if number == str(_signal_number(wanted or "SIGTERM")):
            self._asked_to_stop.add(container)

    async def _died(self, app: App, service: str, container: str, code: int, *, asked: bool) -> None:
        if self._held(app) or app.intended != "running" or app.status not in _STILL:
            return
        one_shot = next((s.restart == "no" for s in template_of(app).services if s.name == service), False)
        if one_shot and code == 0:
            return
        if asked:
            states = await self._current(app)
            if not all(state.status == "running" for state in states):
                told = AppStopped(resource=app.id, details=f"{app.name} was stopped outside of Cloud OS", name=app.name)
                await self._store.change(app.id, told, expect=_STILL, status="stopped", intended="stopped", error=None)
            return
        await self._crashed(app, service, container, code)

    async def _crashed(self, app: App, service: str, container: str, code: int) -> None:
        try:
            logs = await self._engine.last_lines(container)
        except CloudOSError:
            logs = []
        details = f"{app.name}: {service} ended by itself with exit code {code}"
        told = AppCrashed(resource=app.id, details=details, name=app.name, service=service, exit_code=code, logs=logs)
        await self._store.change(app.id, told, expect=_STILL, status="crashed", error=details)

    async def _started(self, app: App) -> None:
        if self._held(app) or app.status not in ("stopped", "crashed"):
            return
        states = await self._current(app)
        if states and all(state.status == "running" or _done(app, state) for state in states):
            how = "started again by the engine" if app.intended == "running" else "started outside of Cloud OS"
            told = AppStarted(resource=app.id, details=f"{app.name} was {how}", name=app.name)
            await self._store.change(app.id, told, expect=_STILL, status="running", intended="running", error=None)

    async def reconcile(self) -> None:
        """Compare every app with its containers: at the start, and whenever the engine was away."""
        states = await self._engine.states()
        known = set()
        for app in await self._store.all():
            known.add(app.id)
            if app.status in _STILL and not self._held(app):
                mine = [s for s in states if s.app == app.id and s.generation == app.generation]
                await self._settle(app, mine)
        for orphan in {s.app for s in states} - known:
            self._ctx.log.warning("containers of an app that is not there are removed", app=orphan)
            await self._engine.remove_containers(orphan)
            await self._engine.remove_network(orphan)

    async def _settle(self, app: App, states: list[ContainerState]) -> None:
        down = [s for s in states if s.status != "running" and not _done(app, s)]
        if app.intended == "stopped":
            if app.status == "running":  # the host died between the wish and the stop
                await self._service.stop(app.id)
            elif states and not down:
                await self._started(app)
            return
        if app.status == "stopped":  # the host died between the wish and the start
            await self._service.start(app.id)
        elif not states:
            error = "its containers are gone; start it to make them again"
            told = AppCrashed(
                resource=app.id, details=f"{app.name}: {error}", name=app.name, service="", exit_code=-1, logs=[]
            )
            if app.status != "crashed":
                await self._store.change(app.id, told, expect=_STILL, status="crashed", error=error)
        elif not down:
            await self._started(app)
        elif app.status == "running" and all(s.exit_code in (0, 143) for s in down):
            told_stop = AppStopped(resource=app.id, details=f"{app.name} was stopped meanwhile", name=app.name)
            await self._store.change(app.id, told_stop, expect=_STILL, status="stopped", intended="stopped")
        elif app.status == "running":
            await self._crashed(app, down[0].service, down[0].id, down[0].exit_code)

    async def _current(self, app: App) -> list[ContainerState]:
        return [s for s in await self._engine.states(app.id) if s.generation == app.generation]

    async def _app(self, app_id: str) -> App | None:
        return next((app for app in await self._store.all() if app.id == app_id), None)

    def _held(self, app: App) -> bool:
        lock = self._service.locks.get(app.id)
        return lock is not None and lock.locked()


def _done(app: App, state: ContainerState) -> bool:
    """Tell whether a service that runs once has done so."""
    once = next((s.restart == "no" for s in template_of(app).services if s.name == state.service), False)
    return once and state.status == "exited" and state.exit_code == 0


def _signal_number(name: str) -> int:
    if name.isdigit():
        return int(name)
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        return int(signal.SIGTERM)
