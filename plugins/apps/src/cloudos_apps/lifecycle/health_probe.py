"""Health checks made by us while an app starts: the engine makes its first one only after a whole interval."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cloudos_sdk import CloudOSError

from cloudos_apps.engine.client import DockerEngine

_APART = 1.0  # seconds between two checks of a container
_LONGEST = 10.0  # seconds that a check may take
_LOOK = 0.1


class HealthProbe:
    """Runs the checks of containers, their image's own among them, for one wait."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self._next: dict[str, float] = {}
        self._checks: dict[str, list[str]] = {}
        self._passed: set[str] = set()

    async def passes(self, container: str) -> bool:
        """Return whether the health check of a running container passed, running it now if due."""
        if container in self._passed:
            return True
        if time.monotonic() < self._next.get(container, 0.0):
            return False
        try:
            if await self._check(container):
                self._passed.add(container)
                return True
        except CloudOSError:
            pass  # it ended meanwhile, or has no such program: the engine says so itself
        self._next[container] = time.monotonic() + _APART
        return False

    async def _check(self, container: str) -> bool:
        if container not in self._checks:
            self._checks[container] = await self._engine.call(_command, container)
        command = self._checks[container]
        if not command:
            return False
        run = await self._engine.call(_begin, container, command)
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end:
            done = await self._engine.call(lambda client: client.exec_inspect(run))
            if not done["Running"]:
                return bool(done["ExitCode"] == 0)
            await asyncio.sleep(_LOOK)
        return False


def _command(client: Any, container: str) -> list[str]:
    config = client.inspect_container(container)["Config"]
    kind, *words = (config.get("Healthcheck") or {}).get("Test") or [""]
    if kind == "CMD":
        return [str(word) for word in words]
    return [*(config.get("Shell") or ["/bin/sh", "-c"]), *words] if kind == "CMD-SHELL" else []


def _begin(client: Any, container: str, command: list[str]) -> str:
    run = client.exec_create(container, command, stdout=False, stderr=False)["Id"]
    client.exec_start(run, detach=True)
    return str(run)
