"""The engine's event stream, by which app states follow changes made outside the node too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from cloudos_sdk import CloudOSError, Context, DatabaseUnavailable

from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.engine.specs import APP, GENERATION, SERVICE
from cloudos_apps.engine.stop_signals import StopSignals
from cloudos_apps.monitoring.container_events import ContainerEvents, Turn
from cloudos_apps.monitoring.reconciler import Reconciler

_LOOK_AGAIN_SECONDS = 30.0


class EngineEvents:
    """Follows the engine from its first answer to the end of the plugin, over every time that it is away."""

    def __init__(self, ctx: Context, engine: DockerEngine, following: ContainerEvents, reconciler: Reconciler) -> None:
        self._ctx = ctx
        self._engine = engine
        self._following = following
        self._reconciler = reconciler
        self._signals = StopSignals(engine.stop_signal)
        self._work: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}
        self._since = time.time_ns()
        self._tried = asyncio.Event()
        self._reason: str | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        wait = 0.25
        looking = self._ctx.tasks.start("look at crashed apps", self._look_again)
        try:
            while True:
                begun = time.monotonic()
                try:
                    await self._follow()
                    self._tell("The engine ended its event stream.")
                except CloudOSError as error:
                    self._tell(error.message)
                except Exception as error:
                    self._tell(f"{type(error).__name__}: {error}")
                    self._ctx.log.error("the engine's events cannot be followed", exc_info=error)
                wait = 0.25 if time.monotonic() - begun > 10 else min(5.0, wait * 2)
                await asyncio.sleep(wait)
        finally:
            looking.cancel()
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)

    async def trouble(self) -> str | None:
        """Return why the engine's events cannot be followed, or None. Waits for the first attempt."""
        await self._tried.wait()
        return self._reason

    def _tell(self, reason: str | None) -> None:
        self._reason = reason
        self._tried.set()

    async def _follow(self) -> None:
        """Follow one connection to its end, from the last seen event on."""
        stream = self._engine.follow_events(self._since)
        try:
            await stream.opened.wait()
            await self._engine.version()
            self._tell(None)
            self._spawn(self._reconciler.reconcile)
            async for event in stream:
                await self._handle(event)
                self._since = event["timeNano"] + 1
        finally:
            stream.close()

    async def _handle(self, event: Mapping[str, Any]) -> None:
        """Record the order of events, and handle slow ones in tasks."""
        container, action = event["Actor"]["ID"], event["Action"]
        attributes = event["Actor"]["Attributes"]
        app_id, generation = attributes[APP], int(attributes[GENERATION])
        if action == "kill":
            self._signals.note(container, attributes.get("signal", ""))
        elif action == "die":
            asked = self._signals.take(container)
            code, at = int(attributes.get("exitCode", 0)), event["timeNano"] / 1e9
            service, turn = attributes[SERVICE], self._turn(container)
            died = partial(self._following.died, app_id, generation, service, container, code, at, asked, turn)
            self._last[container] = self._spawn(died)
        elif action == "start":
            self._signals.forget(container)
            started = partial(self._following.started, app_id, generation, self._turn(container))
            self._last[container] = self._spawn(started)
        elif action == "destroy":
            self._signals.forget(container)
            self._spawn(partial(self._following.destroyed, app_id, generation))

    def _turn(self, container: str) -> Turn:
        """Return a coroutine that waits for earlier events of the container."""
        self._last = {id: task for id, task in self._last.items() if not task.done()}
        before = self._last.get(container)

        async def turn() -> None:
            if before is not None:
                await asyncio.wait([before])

        return turn

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task = self._ctx.tasks.start("event of the engine", partial(self._guarded, work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def _look_again(self) -> None:
        """Compare apps that have crashed with their containers now and then: an event may have been missed."""
        while True:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            await self._guarded(self._reconciler.settle_crashed)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except DatabaseUnavailable:  # it is handled again once the database is back
            raise
        except CloudOSError as error:
            self._ctx.log.warning("an event of the engine could not be handled", error=error.message)
        except Exception as error:
            self._ctx.log.error("an event of the engine could not be handled", exc_info=error)
