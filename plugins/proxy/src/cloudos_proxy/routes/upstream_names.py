"""Resolves upstream names for Caddy to allowed addresses; a refusal is recorded on the route."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from cloudos_sdk import Context

from cloudos_proxy.events import RouteRefused
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.routes.upstream_resolver import Resolver
from cloudos_proxy.upstreams.dial_names import canonical
from cloudos_proxy.upstreams.name_lookup import Address
from cloudos_proxy.upstreams.policy import BadUpstream

_FRESH = 1.0
"""Seconds for which an answer is given again: Caddy asks for each kind of address by itself."""
_MOST = 1000
_LAST_WRITES = 2.0


class UpstreamNames:
    """Answers for names of upstreams."""

    def __init__(self, ctx: Context, routes: RouteStore, resolver: Resolver) -> None:
        self._ctx = ctx
        self._routes = routes
        self._resolver = resolver
        self._known: dict[str, tuple[float, asyncio.Task[Sequence[Address]]]] = {}
        self._refused: dict[str, str] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def find(self, addr: str) -> Sequence[Address]:
        """Return the allowed addresses of `host:port`; empty if one is forbidden."""
        now = time.monotonic()
        asked, looking = self._known.get(addr, (now - _FRESH, None))
        if looking is None or now - asked >= _FRESH:
            if len(self._known) >= _MOST:
                self._known.clear()
            looking = asyncio.create_task(self._look(addr), name="proxy:upstream-name")
            self._known[addr] = now, looking
        return await asyncio.shield(looking)

    async def stop(self) -> None:
        """Wait briefly for pending writes."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=_LAST_WRITES)
        tasks = [*self._telling, *(task for _, task in self._known.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, addr: str) -> Sequence[Address]:
        try:
            found = await self._resolver.addresses(addr)
        except BadUpstream as error:
            self._tell(addr, f"{error}.")
            return ()
        self._tell(addr, None)
        return found

    def _tell(self, addr: str, why: str | None) -> None:
        """Have the routes that lead there say why they do not, or that they do again."""
        if self._refused.get(addr) == why:
            return
        if why is None:
            self._refused.pop(addr, None)
        else:
            self._refused[addr] = why
        task = self._ctx.tasks.start(f"state of {addr}", partial(self._write_down, addr, why))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _write_down(self, addr: str, why: str | None) -> None:
        """Mark the routes in force. One that was changed meanwhile is not among them: an apply will judge it."""
        was, becomes = ("active", "error") if why is not None else ("error", "active")
        async with self._routes.lock:
            rows = [
                replace(row, status=becomes, error=why)
                for row in self._routes.all()
                if row.upstream_type == "manual" and canonical(row.upstream_addr or "") == addr and row.status == was
            ]
            events = [
                RouteRefused(
                    resource=row.id,
                    details=f"{row.hostname} is not led to {addr} any more: {why}",
                    hostname=row.hostname,
                    reason=why,
                )
                for row in rows
                if why is not None
            ]
            if rows:
                await self._routes.put(rows, events=events)
