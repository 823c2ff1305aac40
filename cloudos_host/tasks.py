"""The background work of one plugin: logged, begun again with back-off, counted into the plugin's health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from cloudos_sdk import Clock, CloudOSError
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as

from cloudos_host.containment import contained, sentence_of

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_STEADY, _LONGEST_DOUBT = 10.0, 120.0  # seconds without a failure after which work is well again


@dataclass
class _Trouble:
    reason: str
    lasted: float
    well_at: float = float("inf")


class PluginTasks:
    """Starts the background work of a plugin and ends it with the plugin."""

    def __init__(self, clock: Clock, log: Any) -> None:
        self._clock = clock
        self._log = log
        self.context: Any = None
        self._running: set[asyncio.Task[None]] = set()
        self._troubles: dict[str, _Trouble] = {}

    def start(self, name: str, fn: Callable[[], Awaitable[object]], *, restart: bool = True) -> asyncio.Task[None]:
        """Run `fn` beside the requests; begin it again when it fails, unless `restart` is False."""
        task = asyncio.create_task(self._supervise(name, fn, restart), name=f"{self.context.id}:{name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def trouble(self) -> str | None:
        """Return a sentence on the failing tasks; None if all work."""
        now = self._clock.monotonic()
        for name in [name for name, trouble in self._troubles.items() if now >= trouble.well_at]:
            self._well(name)
        told = [f"{name} failed: {trouble.reason}" for name, trouble in sorted(self._troubles.items())]
        return "; ".join(told) or None

    async def stop(self) -> None:
        """Cancel all tasks."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._troubles.clear()

    async def _supervise(self, name: str, fn: Callable[[], Awaitable[object]], restart: bool) -> None:
        enter_context(self.context)
        act_as(Caller(None))
        wait = _FIRST_WAIT
        while True:
            began = self._clock.monotonic()
            if name in self._troubles:
                doubt = min(_LONGEST_DOUBT, max(_STEADY, 2 * self._troubles[name].lasted))
                self._troubles[name].well_at = began + doubt
            try:
                await contained(fn())
            except asyncio.CancelledError:
                self._troubles.pop(name, None)
                raise
            except Exception as failure:  # noqa: BLE001 - plugin code; it is begun again
                error = failure
            else:
                self._well(name)
                return
            lasted = self._clock.monotonic() - began
            wait = _FIRST_WAIT if lasted >= _STEADY else wait
            self._fail(name, error, lasted, wait if restart else None)
            if not restart:
                return
            await self._clock.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)

    def _fail(self, name: str, error: BaseException, lasted: float, wait: float | None) -> None:
        expected = isinstance(error, CloudOSError)
        reason = str(error) if expected else sentence_of(error)
        self._troubles[name] = _Trouble(reason, lasted)
        more = {"again_in": wait} if wait is not None else {}
        if expected:
            self._log.warning("background work failed", task=name, reason=reason, **more)
        else:
            self._log.error("background work failed", task=name, exc_info=error, **more)

    def _well(self, name: str) -> None:
        if self._troubles.pop(name, None) is not None:
            self._log.info("background work goes on", task=name)
