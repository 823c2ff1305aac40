"""Runs one Caddy on sockets that stay ours: started when asked for, found again, ended."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import orjson

from cloudos_proxy.caddy.admin_api import Caddy, CaddyUnreachable
from cloudos_proxy.caddy.config.document import admin_part
from cloudos_proxy.caddy.open_visits import Peer
from cloudos_proxy.caddy.process import (
    CaddyDied,
    CaddyMissing,
    PidFile,
    Process,
    Start,
    find_program,
    list_modules,
    spawn,
)
from cloudos_proxy.caddy.reload_watch import ReloadWatch
from cloudos_proxy.caddy.reuseport import PLACES, place_of, turn, turned
from cloudos_proxy.caddy.sockets import OpenSockets, WantedSocket, open_sockets

START_SECONDS = 15.0
_GRACE = 3.0
_SOCKET_PATH_LIMIT = 107


def variable(name: str) -> str:
    """Return the variable by which Caddy knows the number of a socket."""
    return f"CLOUDOS_{name.upper()}_FD"


class CaddyRunner:
    """The process and its sockets."""

    def __init__(
        self,
        program: Path | None,
        folder: Path,
        log: Any,
        wanted: Sequence[WantedSocket],
        *,
        outlives_us: bool,
        drain_seconds: float,
        lossless: bool = True,
    ) -> None:
        self._program = program
        self._folder = folder
        self._log = log
        self._wanted = tuple(wanted)
        self._outlives_us = outlives_us
        self._lossless = lossless
        self._grace = _GRACE + drain_seconds
        self._sockets = OpenSockets()
        self._process: Process | None = None
        self._pid_file = PidFile(folder / "caddy.pid")
        self._modules: frozenset[str] | None = None
        self._looked_back = False
        self._loading: asyncio.Task[None] | None = None
        self.admin_socket = folder / "admin.sock"
        self.caddy = Caddy(f"unix/{self.admin_socket}")

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.alive else None

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are open now, by the name of their socket."""
        is_open = bool(self._sockets.rings) or self.pid is not None
        return {one.name: one.port for one in self._wanted} if is_open else {}

    async def hang_up(self, peers: Collection[Peer]) -> None:
        """End connections of visitors. Raises OSError if the kernel does not allow it."""
        if self._process is not None and self._process.alive:
            await self._process.hang_up(peers, self._tcp_ports)

    async def cut_off(self, upstreams: Collection[Peer]) -> None:
        """End connections to upstreams. Raises OSError if the kernel does not allow it."""
        if self._process is not None and self._process.alive:
            await self._process.hang_up(upstreams, None)

    async def visitors(self) -> Collection[Peer]:
        """Return the other ends of the connections that are open."""
        if self._process is None or not self._process.alive:
            return ()
        return await self._process.connections(self._tcp_ports)

    @property
    def _tcp_ports(self) -> frozenset[int]:
        return frozenset(one.port for one in self._wanted if not one.udp)

    async def modules(self) -> frozenset[str]:
        """Return the modules of this Caddy. Raises CaddyMissing."""
        if self._modules is None:
            program = await asyncio.to_thread(find_program, self._program)
            self._modules = await asyncio.to_thread(list_modules, program)
        return self._modules

    async def ensure(self) -> bool:
        """See that it runs; return whether it was started only now.

        Raises CaddyMissing, CaddyDied, and PortUnavailable.
        """
        if not self._looked_back:
            await self.take_over(keep=True)
        if self.pid is not None:
            return False
        program = await asyncio.to_thread(find_program, self._program)
        await self.open_ports()
        await asyncio.to_thread(importlib.import_module, "psutil")
        if len(str(self.admin_socket)) > _SOCKET_PATH_LIMIT:
            raise CaddyMissing(
                f"{self.admin_socket} is too long for the name of a socket: choose a shorter data folder."
            )
        await asyncio.to_thread(self._clean)
        boot = {"admin": admin_part(f"unix/{self.admin_socket}|0600")}
        start = Start(program, self._folder, orjson.dumps(boot), self._variables(), self._outlives_us)
        self._process = spawn(start, self._pid_file, self._given)
        await self._await_answer(self._process, start)
        self._log.info("Caddy runs", pid=self._process.pid)
        return True

    async def load(self, document: bytes) -> None:
        """Serve `document`; return once newcomers are served by it. Raises CaddyRefused, CaddyUnreachable.

        The servers before go on for the document's `shutdown_delay` with those who had come to them; Caddy answers only
        then, so a load waits for the one before it.
        """
        await self._end_of_load()
        if not (self._lossless and self._sockets.rings):  # a Caddy that was taken up has no rings to steer
            await self.caddy.load(turned(document, range(PLACES)))
            return
        place = (self._sockets.place + 1) % PLACES
        async with ReloadWatch(self._folder / "caddy.log") as taking_over:
            self._loading = asyncio.create_task(self.caddy.load(turned(document, turn(place))), name="proxy:load")
            await asyncio.wait({self._loading, taking_over.seen}, return_when=asyncio.FIRST_COMPLETED)
        if self._loading.done():
            self._loading.result()
        self._sockets.steer(place)

    async def _end_of_load(self) -> None:
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
            self._loading = None

    async def open_ports(self) -> None:
        """Open the ports if they are closed. Raises PortUnavailable."""
        if not self._sockets.rings:
            self._sockets = await asyncio.to_thread(open_sockets, self._wanted)

    async def take_over(self, *, keep: bool) -> None:
        """Find the Caddy of a host that was here before: go on with it, or end it."""
        self._looked_back = True
        found = await asyncio.to_thread(self._pid_file.find)
        if found is None:
            return
        pid, given = found
        try:
            process = Process(pid)
        except ProcessLookupError:
            return
        if keep and self._outlives_us and given == self._given and await self.caddy.answers():
            self._process = process
            await self._take_sockets(process)
            self._log.info("Caddy is taken up again", pid=pid)
            return
        await process.end(self._grace)
        self._log.info("a Caddy that was left over was ended", pid=pid)

    async def _take_sockets(self, process: Process) -> None:
        variables = await asyncio.to_thread(_environment, process.pid)
        try:
            numbers = {
                one.name: [int(variables[f"{variable(one.name)}_{place}"]) for place in range(1 if one.udp else PLACES)]
                for one in self._wanted
            }
            self._sockets = process.sockets(numbers)
            self._sockets.place = place_of(await self.caddy.config())
        except (OSError, LookupError, CaddyUnreachable) as error:
            self._sockets.close()
            self._log.info("the sockets stay those of the Caddy that was taken up", reason=str(error))

    async def ended(self) -> None:
        """Wait until it has ended."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self, *, for_good: bool = False) -> None:
        """End it, or leave it to serve on unless `for_good`; close the ports."""
        leave = self._outlives_us and not for_good
        if self._process is not None and self._process.alive:
            await self._end_of_load()
        await self.caddy.close()
        if self._process is not None and self._process.alive:
            if leave:
                self._process.leave()
            else:
                await self._process.end(self._grace)
        if not leave:
            self._pid_file.forget()
        self._sockets.close()

    def close_idle_ports(self) -> None:
        """Close the ports if Caddy does not run."""
        if self.pid is None:
            self._sockets.close()

    @property
    def _given(self) -> str:
        return orjson.dumps([PLACES, self._wanted]).decode()

    def _variables(self) -> dict[str, int]:
        """Return the numbers of the sockets by their variables: of a ring, each place has one more."""
        found = {}
        for name, numbers in self._sockets.filenos().items():
            found[variable(name)] = numbers[0]
            found |= {f"{variable(name)}_{place}": number for place, number in enumerate(numbers)}
        return found

    def _clean(self) -> None:
        self.admin_socket.unlink(missing_ok=True)
        (self._folder / "caddy").mkdir(mode=0o700, exist_ok=True)

    async def _await_answer(self, process: Process, start: Start) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.alive:
            if self.admin_socket.exists() and await self.caddy.answers():
                return
            await asyncio.sleep(0.02)
        await process.end(0.5)
        said = (await asyncio.to_thread(start.last_words.read_text, errors="replace")).strip().splitlines()
        raise CaddyDied(f"Caddy does not come up: {said[-1][:300] if said else 'it said nothing'}")


def _environment(pid: int) -> dict[str, str]:
    import psutil

    try:
        return dict(psutil.Process(pid).environ())
    except psutil.Error:
        return {}
