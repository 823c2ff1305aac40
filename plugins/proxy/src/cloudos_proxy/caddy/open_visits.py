"""Open visits: which right admitted which connection, so that it is closed when the right ends.

The gate is asked once for each request. A WebSocket, a stream or a long download is one request, and would outlive a
sign-out by hours. So the gate remembers by whose rights a connection was used, and Caddy's end of it is shut down when
one of them is gone. With HTTP/1 a connection has one request at a time, and the last right is the only one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from cloudos_sdk import Context
from cloudos_sdk.addresses import parse_address
from cloudos_sdk.capabilities import Users

Peer = tuple[str, int]
"""A visitor's end of a connection: address and port."""

EVERY = 2.0
"""Seconds between looks: for what ends by itself, and where nobody tells of changes."""
_MANY = 5_000
RIGHTS = 128
"""Rights by which one connection may have been used, one for each route and credential of a browser whose certificate
has many names; with more it is ended, and its visitor opens another."""


@dataclass(frozen=True, slots=True)
class VisitRight:
    """The right of a visit: session or `Authorization` header, route, and the roles that it required."""

    user_id: str
    session_id: str | None
    authorization: str | None
    roles: str
    route: str = ""


Holds = Callable[[VisitRight], Awaitable[bool]]
HangUp = Callable[[Collection[Peer]], Awaitable[None]]
Open = Callable[[], Awaitable[Collection[Peer]]]


class NoteVisit(Protocol):
    """Remembers by which right a connection was used."""

    def __call__(self, peer: Peer, right: VisitRight, *, shared: bool) -> None:
        """Remember it."""


def peer_of(text: str | None) -> Peer | None:
    """Parse a peer in Caddy's form: address, space, port."""
    address, _, port = (text or "").rpartition(" ")
    found = parse_address(address)
    return (found, int(port)) if found is not None and port.isascii() and port.isdigit() else None


class OpenVisits:
    """Tracks admitted connections. `holds` checks a right again, `hang_up` ends connections, `open` lists them."""

    def __init__(self, ctx: Context, hang_up: HangUp, open: Open) -> None:
        self._ctx = ctx
        self._hang_up = hang_up
        self._open = open
        self._rights: dict[Peer, tuple[VisitRight, ...]] = {}
        self._ending: set[Peer] = set()
        self._roles: dict[str, str | None] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] | None = None
        self._most = _MANY

    @property
    def known(self) -> int:
        """How many connections are remembered."""
        return len(self._rights)

    def note(self, peer: Peer, right: VisitRight, *, shared: bool = False) -> None:
        """Remember by which right a connection was used; a `shared` one may have other requests open, by others."""
        held = self._rights.get(peer) if shared else None
        if held is None:
            self._rights[peer] = (right,)
        elif right not in held:
            self._rights[peer] = (*held, right)
            if len(held) >= RIGHTS:
                self._ending.add(peer)
                self._changed.set()

    def follow(self, roles: Mapping[str, str | None], seconds: float) -> None:
        """Check the visits of these routes against their current roles; None means a route no longer served.

        The server before takes requests for `seconds` yet: those are judged then.
        """
        self._roles.update(roles)
        self._judge_anew()
        asyncio.get_running_loop().call_later(seconds, self._settle, dict(roles))

    def _settle(self, roles: Mapping[str, str | None]) -> None:
        self._judge_anew()
        for route, asked in roles.items():
            if self._roles.get(route, "") == asked:
                self._roles.pop(route, None)

    def _judge_anew(self) -> None:
        for peer, rights in self._rights.items():
            if any(right.route in self._roles for right in rights):
                asked = [(right, self._roles.get(right.route, right.roles)) for right in rights]
                if any(roles is None for _, roles in asked):
                    self._ending.add(peer)
                self._rights[peer] = tuple(replace(right, roles=roles) for right, roles in asked if roles is not None)
        self._changed.set()

    def start(self, holds: Holds) -> None:
        """Begin to look after them."""
        self._task = self._ctx.tasks.start("visits", partial(self._look_after, holds))
        users = self._ctx.find(Users)
        if users is not None:
            self._unwatch = users.watch(lambda user_id: self._changed.set())

    async def stop(self) -> None:
        """End."""
        if self._unwatch is not None:
            self._unwatch()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_after(self, holds: Holds) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._put_out(holds)
                if len(self._rights) > self._most:
                    await self._forget_closed()
            except Exception as error:  # noqa: BLE001 # the next look is in two seconds
                self._ctx.log.error("connections could not be judged", error=repr(error))

    async def _put_out(self, holds: Holds) -> None:
        known = {right for rights in self._rights.values() for right in rights}
        gone = {right for right in known if not await holds(right)}
        ending = set(self._ending)
        if not gone and not ending:
            return
        peers = {p: rights for p, rights in self._rights.items() if p in ending or not gone.isdisjoint(rights)}
        await self._hang_up(peers.keys())  # where it fails they are known still, and tried again
        self._ending -= ending
        for peer, rights in peers.items():
            if self._rights.get(peer) is rights:  # or else it is another connection by now
                del self._rights[peer]
        self._ctx.log.info("connections were ended with the right to them", connections=len(peers))

    async def _forget_closed(self) -> None:
        known = list(self._rights)
        still = set(await self._open())
        for peer in known:
            if peer not in still:
                self._rights.pop(peer, None)
        self._most = max(_MANY, 2 * len(self._rights))
