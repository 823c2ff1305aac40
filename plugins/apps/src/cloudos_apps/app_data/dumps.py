"""Dumps: copies that a service makes of its own data while it runs, and reads into empty volumes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Conflict

from cloudos_apps.consent.service import ConsentService
from cloudos_apps.engine.exec import print_to_file, read_from_file
from cloudos_apps.engine.specs import ContainerState
from cloudos_apps.lifecycle.containers import Containers
from cloudos_apps.models import App
from cloudos_apps.store import AppStore, hidden_in, template_of
from cloudos_apps.templates.model.template import Service, Template

_LONGEST = 24 * 3600.0  # seconds that a dump may take


class DumpFailed(CloudOSError):
    """502: a service did not make or read its dump; the message has its last words."""

    status = 502

    def __init__(self, service: str, what: str, code: int, said: str) -> None:
        super().__init__("dump_failed", f"The service {service} could not {what} (exit code {code}): {said}")


class Dumps:
    """Runs the dump commands that templates declare."""

    def __init__(self, store: AppStore, containers: Containers, consent: ConsentService) -> None:
        self._store = store
        self._containers = containers
        self._consent = consent

    async def make(self, app_id: str, name: str, path: str) -> None:
        """Have a running service print its dump into a file."""
        app = await self._store.get(app_id)
        service, dump = _declared(template_of(app), name)
        state = (await self._states(app)).get(service.name)
        if state is None or state.status != "running":
            raise Conflict("app_not_running", f"{service.name} of {app.name} does not run, and so cannot be dumped.")
        await self._run(app, service, "make its dump", print_to_file, state.id, dump.command, path)

    async def load(self, app: App, name: str, path: str) -> None:
        """Start one service, have it read its dump, and stop it."""
        template = template_of(app)
        service, dump = _declared(template, name)
        await self._consent.recheck(app)
        ports = orjson.loads(app.ports)
        specs = self._containers.specs(app, template, self._store.config(app), ports, app.generation)
        await self._containers.create(app, specs)
        state = (await self._states(app))[service.name]
        await self._containers.engine.start(state.id)
        try:
            hidden = self._store.hidden(app)
            await self._containers.wait_well(app.id, template, app.generation, {service.name}, _silent, hidden)
            await self._run(app, service, "read its dump", read_from_file, state.id, dump.restore, path)
        finally:
            await self._containers.stop(app.id, template, app.generation)

    async def _run(
        self,
        app: App,
        service: Service,
        what: str,
        work: Callable[..., tuple[int, str]],
        container: str,
        command: Sequence[str],
        path: str,
    ) -> None:
        engine = self._containers.engine

        def run() -> tuple[int, str]:
            client = engine.connect(timeout=_LONGEST)
            with contextlib.closing(client):
                return work(client, container, command, path)

        try:
            code, said = await asyncio.to_thread(run)
        except Exception as error:
            raise engine.translated(error) from error
        if code != 0:
            for secret in hidden_in(template_of(app), self._store.config(app)):
                said = said.replace(secret, "***")
            raise DumpFailed(service.name, what, code, said[-500:])

    async def _states(self, app: App) -> dict[str, ContainerState]:
        states = await self._containers.engine.states(app.id)
        return {state.service: state for state in states if state.generation == app.generation}


async def _silent(fraction: float, message: str, **detail: Any) -> None:
    """Report progress to nobody."""


def _declared(template: Template, name: str) -> tuple[Service, Any]:
    for service in template.services:
        if service.dump is not None and service.dump.file == name:
            return service, service.dump
    raise Conflict("no_such_dump", f"{template.display_name} declares no dump {name!r}.")
