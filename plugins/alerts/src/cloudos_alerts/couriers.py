"""Gives what is to be sent to the process that sends, holds it to its time, and lets nobody take all of its places."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import orjson
from cloudos_sdk import TooManyRequests

from cloudos_alerts.apprise_sender import Delivery, Message, UnfitConfig
from cloudos_alerts.channel_types import TYPES, Config

_PLACES = {"delivery": 12, "slow": 3, "trial": 4}
_OF_A_TARGET = 2
_WAITING_TRIALS = 16
_IDLE = 30.0
_LONGEST_ANSWER = 1 << 20
_GONE = "The process that sends ended; it is tried again."
_NAMES = {config: name for name, config in TYPES.items()}


class Courier:
    """One process that sends, and who waits for it."""

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
        """Tell whether nobody waits for it."""
        return not self._waiting

    async def do(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Have a job done. Raises TimeoutError, and ConnectionError where the process ended."""
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
                "cloudos_alerts.courier",
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


class Couriers:
    """Sends, each message within `seconds`: what takes longer is ended with its process, once nobody else needs that.

    Channels that were too slow have a few places for them alone, as have tries by hand, and each target has two.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._places = {name: asyncio.Semaphore(places) for name, places in _PLACES.items()}
        self._targets: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._trials = 0
        self._courier: Courier | None = None
        self._known: set[Courier] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def deliver(self, config: Config, message: Message, *, slow: bool = False) -> Delivery:
        """Send a message, once; `slow` is a channel whose last one ran out of time."""
        async with self._place("slow" if slow else "delivery", config):
            return await self._sent(config, message)

    async def trial(self, config: Config, message: Message) -> Delivery:
        """Send a message that somebody waits for. Raises TooManyRequests where too many do."""
        if self._trials >= _WAITING_TRIALS:
            raise TooManyRequests("Too many channels are being tried; wait until some are done.", retry_after=5)
        self._trials += 1
        try:
            async with self._place("trial", config):
                return await self._sent(config, message)
        finally:
            self._trials -= 1

    async def check(self, config: Config) -> None:
        """Have Apprise make a service of a configuration. Raises UnfitConfig."""
        try:
            async with self._place("trial", config):
                said = await self._do(config, None)
        except TimeoutError:
            raise UnfitConfig(f"Apprise made nothing of this in {self._seconds:g} s.") from None
        except ConnectionError:
            raise UnfitConfig(_GONE) from None
        if "unfit" in said or "crash" in said:
            raise UnfitConfig(said.get("unfit") or f"Apprise cannot use this ({said['crash']}).")

    async def close(self) -> None:
        """End what is being sent."""
        if self._resting is not None:
            self._resting.cancel()
        await asyncio.gather(*(courier.close() for courier in self._known), *self._closing, return_exceptions=True)

    async def _sent(self, config: Config, message: Message) -> Delivery:
        try:
            said = await self._do(config, message)
        except TimeoutError:
            return Delivery(False, None, None, f"It took longer than {self._seconds:g} s.", slow=True)
        except ConnectionError:
            return Delivery(False, None, None, _GONE)
        if "unfit" in said:
            return Delivery(False, None, None, said["unfit"])
        if "crash" in said:
            return Delivery(False, None, None, f"It cannot be sent ({said['crash']}).")
        return Delivery(**said)

    async def _do(self, config: Config, message: Message | None) -> dict[str, Any]:
        courier = self._take()
        plain = config.model_dump(by_alias=True, exclude_none=True)
        job = {"type": _NAMES[type(config)], "config": plain, "message": asdict(message) if message else None}
        try:
            return await courier.do(job, self._seconds)
        finally:
            self._rest_soon()

    def _take(self) -> Courier:
        if self._courier is None or self._courier.spent:
            self._courier = Courier()
            self._known = {courier for courier in self._known if not (courier.spent and courier.idle)}
            self._known.add(self._courier)
        return self._courier

    def _rest_soon(self) -> None:
        """End the process where nothing was sent for a while: it has 75 MB."""
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
    async def _place(self, kind: str, config: Config) -> AsyncIterator[None]:
        target = _target(config)
        semaphore, users = self._targets.get(target, (asyncio.Semaphore(_OF_A_TARGET), 0))
        self._targets[target] = (semaphore, users + 1)
        try:
            async with semaphore, self._places[kind]:
                yield
        finally:
            users = self._targets[target][1] - 1
            if users:
                self._targets[target] = (semaphore, users)
            else:
                del self._targets[target]


def _target(config: Config) -> str:
    """Return where a configuration sends to, as far as it says: the host, else the kind of service."""
    for name in ("webhook_url", "server", "homeserver", "url", "host"):
        given = getattr(config, name, None)
        if given:
            try:
                return (urlsplit(given).netloc.rpartition("@")[2] if "://" in given else str(given)).lower()
            except ValueError:
                break
    return type(config).__name__
