"""Hands notifications to sender processes, with time limits and fair shares of their places."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import orjson
from cloudos_sdk import TooManyRequests

from cloudos_alerts.channel_types import TYPES, ChannelConfig
from cloudos_alerts.notify.apprise_adapter import Message, SendResult, UnfitConfig

_PLACES = {"delivery": 12, "unproven": 6, "slow": 3, "trial": 4, "check": 4}
_OF_A_TARGET = 2
_WAITING_TRIALS, _OF_A_CALLER = 32, 16
_HELD = 0.5
_CHECKING = 20.0
_LINGERING = 48
_IDLE = 30.0
_LONGEST_ANSWER = 1 << 20
_GONE = "The process that sends ended; it is tried again."
_NAMES = {config: name for name, config in TYPES.items()}


class SenderProcess:
    """One sender process and its pending jobs."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self.spent = False
        """Whether one of its threads waits for ever, or it is gone; it is given nothing more."""

    @property
    def idle(self) -> bool:
        """Return whether no job is pending."""
        return not self._waiting

    async def do(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Run a job. Raises TimeoutError, and ConnectionError if the process ended."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(seconds):
                await self._start()
                if self._process is None or self._process.stdin is None or self.spent:
                    raise ConnectionError(_GONE)
                self._process.stdin.write(orjson.dumps({"id": number, **job}) + b"\n")
                await self._process.stdin.drain()
                return await answer
        except (TimeoutError, asyncio.CancelledError):
            self.spent = True
            raise
        finally:
            self._waiting.pop(number, None)
            if self.spent and self.idle:
                self.kill()

    async def _start(self) -> None:
        async with self._starting:
            if self._process is not None or self.spent:
                return
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing of the folder that we happen to be in
                "-m",
                "cloudos_alerts.notify.sender_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LONGEST_ANSWER,
                env={name: value for name, value in os.environ.items() if not name.startswith("CLOUDOS_")},
            )
            self._reading = asyncio.create_task(self._read(self._process), name="alerts:courier")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        try:
            while process.stdout is not None and (line := await process.stdout.readline()):
                said = orjson.loads(line)
                answer = self._waiting.get(said.pop("id"))
                if answer is not None and not answer.done():
                    answer.set_result(said)
        finally:
            self.spent = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionError(_GONE))

    def kill(self) -> None:
        """End the process, whatever it waits for."""
        self.spent = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End the process and see it gone."""
        self.kill()
        if self._process is not None:
            await self._process.wait()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)


class SenderProcesses:
    """Sends messages within `seconds` each; a longer one is ended with its process once that is otherwise idle.

    Channels that were too slow have a few places for them alone, as have tries by hand, and each target has two. Those
    that did not deliver lately have half of the other places at most. Who takes longer than a moment gives its place
    to the next and goes on beside: so those that never answer are past in a moment, however many they are.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._places = {name: asyncio.Semaphore(places) for name, places in _PLACES.items()}
        self._targets: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._trials: Counter[str] = Counter()
        self._lingering = 0
        self._courier: SenderProcess | None = None
        self._known: set[SenderProcess] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def deliver(
        self, config: ChannelConfig, message: Message, *, slow: bool = False, proven: bool = False
    ) -> SendResult:
        """Send a message, once; `slow` is a channel whose last one took too long, `proven` one whose last arrived."""
        kinds = ("slow",) if slow else ("delivery",) if proven else ("unproven", "delivery")
        async with self._target(config), self._place(*kinds, lingers=not slow):
            return await self._sent(config, message)

    async def trial(self, config: ChannelConfig, message: Message, *, by: str = "") -> SendResult:
        """Send a message while the caller waits. Raises TooManyRequests if too many wait, in total or of one user."""
        if self._trials.total() >= _WAITING_TRIALS or self._trials[by] >= _OF_A_CALLER:
            raise TooManyRequests("Too many channels are being tried; wait until some are done.", retry_after=5)
        self._trials[by] += 1
        try:
            async with self._target(config), self._place("trial", lingers=True):
                return await self._sent(config, message)
        finally:
            self._trials[by] -= 1
            if not self._trials[by]:
                del self._trials[by]

    async def check(self, config: ChannelConfig) -> None:
        """Have Apprise make a service of a configuration. Raises UnfitConfig."""
        try:
            async with self._place("check"):
                said = await self._do(config, None, _CHECKING)  # no far side takes that time, but a busy machine may
        except TimeoutError:
            raise UnfitConfig(f"Apprise made nothing of this in {_CHECKING:g} s.") from None
        except ConnectionError:
            raise UnfitConfig(_GONE) from None
        if "unfit" in said or "crash" in said:
            raise UnfitConfig(said.get("unfit") or f"Apprise cannot use this ({said['crash']}).")

    async def close(self) -> None:
        """Cancel running sends."""
        if self._resting is not None:
            self._resting.cancel()
        await asyncio.gather(*(courier.close() for courier in self._known), *self._closing, return_exceptions=True)

    async def _sent(self, config: ChannelConfig, message: Message) -> SendResult:
        try:
            said = await self._do(config, message, self._seconds)
        except TimeoutError:
            return SendResult(False, None, None, f"It took longer than {self._seconds:g} s.", slow=True)
        except ConnectionError:
            return SendResult(False, None, None, _GONE)
        if "unfit" in said:
            return SendResult(False, None, None, said["unfit"])
        if "crash" in said:
            return SendResult(False, None, None, f"It cannot be sent ({said['crash']}).")
        return SendResult(**said)

    async def _do(self, config: ChannelConfig, message: Message | None, seconds: float) -> dict[str, Any]:
        courier = self._take()
        plain = config.model_dump(by_alias=True, exclude_none=True)
        job = {"type": _NAMES[type(config)], "config": plain, "message": asdict(message) if message else None}
        try:
            return await courier.do(job, seconds)
        finally:
            self._rest_soon()

    def _take(self) -> SenderProcess:
        if self._courier is None or self._courier.spent:
            self._courier = SenderProcess()
            self._known = {courier for courier in self._known if not (courier.spent and courier.idle)}
            self._known.add(self._courier)
        return self._courier

    def _rest_soon(self) -> None:
        """End the process after an idle time; it takes 75 MB."""
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(_IDLE, self._rest)

    def _rest(self) -> None:
        courier = self._courier
        if courier is not None and courier.idle:
            self._courier = None
            self._known.discard(courier)
            task = asyncio.create_task(courier.close(), name="alerts:end-courier")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    @asynccontextmanager
    async def _place(self, *kinds: str, lingers: bool = False) -> AsyncIterator[None]:
        """Hold a place of each kind; a lingering send releases it after a moment, unless too many linger."""
        async with AsyncExitStack() as held:
            for kind in kinds:
                await held.enter_async_context(self._places[kind])
            beside = AsyncExitStack()

            def go_beside() -> None:
                if self._lingering < _LINGERING:
                    self._lingering += 1
                    beside.callback(self._linger_no_more)
                    for kind in kinds:
                        self._places[kind].release()
                    held.pop_all()

            timer = asyncio.get_running_loop().call_later(_HELD, go_beside) if lingers else None
            async with beside:
                try:
                    yield
                finally:
                    if timer is not None:
                        timer.cancel()

    def _linger_no_more(self) -> None:
        self._lingering -= 1

    @asynccontextmanager
    async def _target(self, config: ChannelConfig) -> AsyncIterator[None]:
        """Hold one of the two places of a target."""
        target = _target(config)
        semaphore, users = self._targets.get(target, (asyncio.Semaphore(_OF_A_TARGET), 0))
        self._targets[target] = (semaphore, users + 1)
        try:
            async with semaphore:
                yield
        finally:
            users = self._targets[target][1] - 1
            if users:
                self._targets[target] = (semaphore, users)
            else:
                del self._targets[target]


def _target(config: ChannelConfig) -> str:
    """Return a configuration's target: the host, else the service type."""
    for name in ("webhook_url", "server", "homeserver", "url", "host"):
        given = getattr(config, name, None)
        if given:
            try:
                return (urlsplit(given).netloc.rpartition("@")[2] if "://" in given else str(given)).lower()
            except ValueError:
                break
    return type(config).__name__
