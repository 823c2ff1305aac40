"""Containment of plugins: what a plugin's code raises ends neither the process nor anybody else's task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from cloudos_sdk import Clock

T = TypeVar("T")

_REMEMBERED = 600.0
_TOLERATED = 3
_KEPT = 20


class PluginCrash(Exception):
    """A plugin raised what would have ended the process or a task of others; `raised` is that."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(sentence_of(raised))
        self.raised = raised


@dataclass(frozen=True)
class Fault:
    """One failure of a plugin's code: when (monotonic seconds), where, and a sentence."""

    at: float
    where: str
    reason: str


class Faults:
    """The failures of one plugin's code that its callers were spared; they count into its health for ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: deque[Fault] = deque(maxlen=_KEPT)

    def note(self, where: str, error: BaseException | str) -> None:
        """Count a failure at `where`, e.g. `GET /api/x`."""
        reason = error if isinstance(error, str) else sentence_of(error)
        self._recent.append(Fault(self._clock.monotonic(), where, reason))

    def trouble(self) -> str | None:
        """Return a sentence once several failures are recent, else None."""
        now = self._clock.monotonic()
        while self._recent and now - self._recent[0].at > _REMEMBERED:
            self._recent.popleft()
        if len(self._recent) < _TOLERATED:
            return None
        last = self._recent[-1]
        more = f"{_KEPT} or more" if len(self._recent) == _KEPT else str(len(self._recent))
        return f"{more} failures within ten minutes, the last at {last.where}: {last.reason}"


async def contained(work: Awaitable[T]) -> T:
    """Await a plugin's work. Raises PluginCrash for `sys.exit`, an interrupt, or a cancellation of its own making."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise PluginCrash(error) from error
    except (Exception, GeneratorExit):
        raise
    except BaseException as error:
        raise PluginCrash(error) from error


def sentence_of(error: BaseException) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, PluginCrash):
        return sentence_of(error.raised)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    if isinstance(error, asyncio.CancelledError):
        return "it raised CancelledError, and nobody had cancelled it"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def task_factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task that ends with PluginCrash if its code exits; asyncio would end the loop with it."""
    if not asyncio.iscoroutine(coro):
        return asyncio.Task(coro, loop=loop, **options)
    task = asyncio.Task(_spared(coro), loop=loop, **options)
    task.add_done_callback(lambda _: coro.close())  # where it was cancelled before it began
    return task


async def _spared(coro: Any) -> Any:
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        raise PluginCrash(error) from error
