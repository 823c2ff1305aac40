"""Ends visitors' connections that an apply no longer admits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial

from cloudos_sdk import Context
from cloudos_sdk.addresses import parse_address

from cloudos_proxy.apply.plan import access_changes, gated_now
from cloudos_proxy.caddy.open_visits import OpenVisits, Peer
from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.routes.model import Served
from cloudos_proxy.routes.upstream_resolver import Resolver
from cloudos_proxy.upstreams.policy import BadUpstream, split

_LATE_SECONDS = 1.0
"""How long a question may take that came to the gate by the server before a load."""
_CLOSED_SECONDS = 0.2


class NarrowedRoutes:
    """Follows applies. Visitors of a formerly open route are unknown, so their connections are found by upstream."""

    def __init__(
        self, ctx: Context, visits: OpenVisits, door: CaddySupervisor, resolver: Resolver, drain_seconds: float
    ) -> None:
        self._ctx = ctx
        self._visits = visits
        self._door = door
        self._resolver = resolver
        self._drain_seconds = drain_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, before: Mapping[str, Served], now: Mapping[str, Served]) -> None:
        """Take up that `now` is served, and `before` was."""
        if changes := access_changes(before, now):
            self._visits.follow(changes, self._drain_seconds + _LATE_SECONDS)
        if dials := gated_now(before, now):
            task = self._ctx.tasks.start("end of connections", partial(self._end, dials))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end(self, dials: Collection[str]) -> None:
        """End Caddy's connections to these upstreams, once the server before takes no more requests."""
        await asyncio.sleep(self._drain_seconds + _CLOSED_SECONDS)
        ends: set[Peer] = set()
        for dial in dials:
            try:
                found = await self._resolver.addresses(dial)
                texts = (parse_address(str(address)) for address in found)
                ends |= {(text, split(dial)[1]) for text in texts if text is not None}
            except BadUpstream as error:
                self._ctx.log.warning("what is open to an upstream is not ended", addr=dial, reason=str(error))
        await self._door.cut_off(ends)
        self._ctx.log.info("connections to upstreams were ended, for their routes ask for a sign-in now", addrs=dials)
