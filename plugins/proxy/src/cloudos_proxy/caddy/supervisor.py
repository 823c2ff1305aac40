"""Supervises Caddy and restarts it with the applied configuration."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Unavailable

from cloudos_proxy.caddy.admin_api import Caddy, CaddyRefused, CaddyUnreachable
from cloudos_proxy.caddy.connections import can_end_connections, is_passing
from cloudos_proxy.caddy.open_visits import Peer
from cloudos_proxy.caddy.process import CaddyDied, CaddyMissing
from cloudos_proxy.caddy.runner import CaddyRunner
from cloudos_proxy.caddy.sockets import PortUnavailable

FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
STEADY_SECONDS = 10.0
EXTERNAL_SECONDS = 5.0


class CaddySupervisor:
    """Starts Caddy when there is something to serve, and restarts it with the document in force when it dies."""

    def __init__(self, ctx: Context, runner: CaddyRunner | None, external: Caddy | None = None) -> None:
        self._tasks = ctx.tasks
        self._log = ctx.log
        self._runner = runner
        self._keeper: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()
        self._wake = asyncio.Event()
        found = external or (runner.caddy if runner is not None else None)
        if found is None:
            raise ValueError("a door needs a Caddy, its own or another's")
        self.caddy: Caddy = found
        self._load = runner.load if runner is not None else found.load
        self.document: bytes | None = None
        """What is to be served; None while there is nothing."""
        self.ends_connections = runner is not None and can_end_connections()
        """Whether connections can be ended when the right to them does."""
        self.trouble: str | None = None
        """Why it is not served, in a sentence for a person."""

    @property
    def pid(self) -> int | None:
        """The pid of Caddy, if it is ours and runs."""
        return self._runner.pid if self._runner is not None else None

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are open now, by the name of their socket; none for a Caddy that is run by others."""
        return self._runner.ports if self._runner is not None else {}

    async def modules(self) -> frozenset[str]:
        """Return the modules of the installed Caddy. Raises Unavailable if there is none."""
        if self._runner is None:
            return frozenset()  # its admin API does not tell
        try:
            return await self._runner.modules()
        except CaddyMissing as error:
            raise Unavailable(str(error), code="caddy_missing") from None

    async def hang_up(self, peers: Collection[Peer]) -> None:
        """End connections of visitors, if Caddy is ours and the kernel allows it."""
        if self._runner is not None:
            await self._ending(self._runner.hang_up(peers))

    async def cut_off(self, upstreams: Collection[Peer]) -> None:
        """End Caddy's connections to upstreams, if Caddy is ours and the kernel allows it."""
        if self._runner is not None:
            await self._ending(self._runner.cut_off(upstreams))

    async def _ending(self, ending: Awaitable[None]) -> None:
        try:
            await ending
        except OSError as error:
            if is_passing(error):
                raise
            self.ends_connections = False
            self._log.warning("connections cannot be ended; streams of gated routes get a limit", reason=str(error))

    async def visitors(self) -> Collection[Peer]:
        """Return the other ends of the connections that are open."""
        return await self._runner.visitors() if self._runner is not None else ()

    async def load(self, document: bytes) -> None:
        """Serve `document` from now on. Raises CaddyRefused, Unavailable; then the previous one stays in force."""
        async with self._busy:
            await self._ensure()
            try:
                await self._load(document)
            except CaddyUnreachable as error:
                raise Unavailable(f"{error}.", code="caddy_unreachable", retry_after=5) from None
            self.document, self.trouble = document, None
        self._keep()

    def restore(self, document: bytes) -> None:
        """Serve the document of the previous host, by its Caddy if that still runs, else by a new one."""
        self.document = document
        self._keep()

    async def clear(self) -> None:
        """End the Caddy of the previous host if there is nothing to serve."""
        if self._runner is not None:
            async with self._busy:
                if self.document is None:  # an apply may have been quicker: what it started is not left over
                    await self._runner.take_over(keep=False)

    def retry(self) -> None:
        """Retry the start now instead of after the back-off."""
        if self.document is not None:
            self._keep()
        self._wake.set()

    async def look(self) -> str | None:
        """Return the current trouble, or None; checks again if it came from a failed apply."""
        if self.trouble is not None and self.document is None and self._runner is not None:
            async with self._busy:
                try:
                    await self._runner.open_ports()
                except PortUnavailable as error:
                    self.trouble = str(error)
                else:
                    self.trouble = None
                    self._runner.close_idle_ports()
        return self.trouble

    @asynccontextmanager
    async def ports_yielded(self) -> AsyncIterator[None]:
        """Stop serving and keep the ports closed inside the block, so that another server can open them."""
        await self._end_keeper()
        async with self._busy:
            if self._runner is not None:
                await self._runner.stop(for_good=True)
            yield

    async def stop(self) -> None:
        """Stop Caddy, or leave it running if `keep_running` is set."""
        await self._end_keeper()
        await self.caddy.close()
        if self._runner is not None:
            await self._runner.stop()

    async def _end_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    async def _ensure(self) -> bool:
        """See that Caddy runs; return whether it came up only now. Raises Unavailable."""
        if self._runner is None:
            return False
        try:
            return await self._runner.ensure()
        except PortUnavailable as error:
            self.trouble = str(error)
            raise Unavailable(self.trouble, code=error.code, port=error.port) from None
        except CaddyMissing as error:
            self.trouble = str(error)
            raise Unavailable(self.trouble, code="caddy_missing") from None
        except CaddyDied as error:
            self.trouble = str(error)
            raise Unavailable(self.trouble, code="caddy_unreachable", retry_after=5) from None

    def _keep(self) -> None:
        if self._keeper is None:
            self._keeper = self._tasks.start("Caddy", self._stay_up)

    async def _stay_up(self) -> None:
        wait = FIRST_WAIT
        while True:
            came_up = await self._come_up()
            began = time.monotonic()
            if came_up:
                await self._until_it_ends()
                if time.monotonic() - began > STEADY_SECONDS:
                    wait = FIRST_WAIT
                    continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            wait = min(LONGEST_WAIT, wait * 2)

    async def _come_up(self) -> bool:
        async with self._busy:
            try:
                fresh = await self._ensure()
                if self.document is not None and (fresh or not await self.caddy.runs(self.document)):
                    await self._load(self.document)
                self.trouble = None
            except (CaddyRefused, CaddyUnreachable, Unavailable) as error:
                self.trouble = str(error)
                self._log.warning("what was applied is not served", reason=self.trouble)
        return self.trouble is None

    async def _until_it_ends(self) -> None:
        if self._runner is None:
            await asyncio.sleep(EXTERNAL_SECONDS)
            return
        await self._runner.ended()
        self._log.warning("Caddy ended; it is started again")
