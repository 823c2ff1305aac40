"""Rows and containers compared: at the start, and whenever the engine was away."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson
from cloudos_sdk import NotFound

from cloudos_apps.app_data.holds import Holds
from cloudos_apps.engine.specs import ContainerState
from cloudos_apps.lifecycle.containers import Containers
from cloudos_apps.lifecycle.relocation import Relocation
from cloudos_apps.lifecycle.service import AppService
from cloudos_apps.models import App
from cloudos_apps.monitoring.container_events import ContainerEvents
from cloudos_apps.store import STEADY, AppStore

_BY_REQUEST = (0, 130, 143)  # exit codes of a program that ended because it was asked to


class Reconciler:
    """Completes interrupted work, records changes that happened while the host was down, and removes orphans."""

    def __init__(
        self,
        log: Any,
        containers: Containers,
        store: AppStore,
        service: AppService,
        following: ContainerEvents,
        relocation: Relocation,
        holds: Holds,
    ) -> None:
        self._log = log
        self._containers = containers
        self._store = store
        self._service = service
        self._following = following
        self._relocation = relocation
        self._holds = holds

    async def reconcile(self) -> None:
        """Compare every app of the node with its containers."""
        await self._containers.learn_root()
        await self._relocation.run()
        states, networks = await self._containers.engine.states(), await self._containers.engine.networks()
        known: set[str] = set()
        for app in await self._store.all():
            known.add(app.id)
            mine = [state for state in states if state.app == app.id]
            try:
                if app.status == "failed" and (mine or app.id in networks or app.volumes != "[]"):
                    await self._containers.remove(app.id, orjson.loads(app.volumes))
                    await self._store.change(app.id, volumes="[]")
                elif app.status in STEADY and await self._settled(app.id):
                    await self._sweep(app, mine)
            except NotFound:
                continue  # it was uninstalled meanwhile
        for orphan in ({state.app for state in states} | networks) - known:
            await self._remove_orphan(orphan)

    async def settle_crashed(self) -> None:
        """Note which of the apps that have crashed run again."""
        for app in await self._store.all():
            if app.status == "crashed" and app.intended == "running":
                with suppress(NotFound):
                    await self._settled(app.id)

    async def _settled(self, app_id: str) -> bool:
        """Reconcile one app's row and containers; False if work on it is running."""
        async with self._store.locks[app_id]:
            app = await self._store.get(app_id)
            if app.status not in STEADY:
                return False
            if app.held is not None:
                await self._holds.end_void(app)
                return False
            states = await self._following.current(app)
            unfinished = await self._note(app, states)
        if unfinished is not None:
            await unfinished(app_id)
        return True

    async def _note(self, app: App, states: Sequence[ContainerState]) -> Any:
        """Record changes of one app; return the action that a crash interrupted, if any."""
        down = await self._following.down(app, states)
        if app.intended == "stopped":
            if app.status != "stopped":
                return self._service.stop
            if not down:
                await self._following.runs(app)
            return None
        if app.status == "stopped":
            return self._service.start
        if not down:
            if app.status == "crashed":
                await self._following.runs(app)
        elif not states:
            await self._following.gone(app)
        elif app.status == "running":
            ended = [state for state in states if state.service in down]
            if ended and all(state.exit_code in _BY_REQUEST for state in ended):
                await self._following.stopped(app, "was stopped meanwhile")
            elif ended:
                await self._following.crashed_meanwhile(app, ended[0])
        return None

    async def _sweep(self, app: App, states: Sequence[ContainerState]) -> None:
        """Remove generations that are not in force: an update was undone, or done, while the engine was away."""
        current = await self._store.get(app.id)
        if current.status in STEADY:
            for generation in {state.generation for state in states} - {current.generation}:
                await self._containers.remove_generation(app.id, generation)

    async def _remove_orphan(self, app_id: str) -> None:
        try:
            await self._store.get(app_id)
        except NotFound:
            self._log.warning("what is left of an app that is not there is removed, but no volume", app=app_id)
            await self._containers.remove(app_id)
