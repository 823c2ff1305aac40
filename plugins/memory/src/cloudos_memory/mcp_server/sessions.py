"""The live connections of MCP clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudos_sdk import Context, NotFound, Principal, Role, new_id

from cloudos_memory.events import McpSessionEnded
from cloudos_memory.keys.cache import HeldKey, KeyCache
from cloudos_memory.keys.service import KeyService
from cloudos_memory.schemas import SessionOut

_SWEEP = 30.0


@dataclass(slots=True, eq=False)
class McpSession:
    """One session. `wire_id` is its id in the protocol; `peer` sends it notifications.

    `open` are the ways to end each of its requests that is being served; `log` is what a resumed stream is fed from;
    `transport_app` serves its requests, and `user` is its key in the library's words.
    """

    key: HeldKey
    transport: str
    ip: str | None
    connected_at: datetime
    last_active_at: datetime
    client_name: str = ""
    client_version: str = ""
    id: str = field(default_factory=lambda: new_id("sess"))
    wire_id: str | None = None
    calls: int = 0
    ended: bool = False
    log_level: str = "info"
    peer: Any = None
    log: Any = None
    close: Callable[[], Any] | None = None
    transport_app: Any = None
    user: Any = None
    open: set[Any] = field(default_factory=set)
    subscriptions: set[str] = field(default_factory=set)
    untold: set[str] = field(default_factory=set)
    telling: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """How many sessions there are."""

    key: int
    user: int
    others: int


_in_hand: ContextVar[McpSession] = ContextVar("cloudos_memory_session")


def in_hand() -> McpSession:
    """Return the session of the request in hand."""
    return _in_hand.get()


def take_in_hand(session: McpSession) -> None:
    """Set the session of the request in hand."""
    _in_hand.set(session)


class McpSessions:
    """Lists and ends sessions. Ending one ends its open requests at once and makes its name unknown."""

    def __init__(self, ctx: Context, ring: KeyCache) -> None:
        self._ctx = ctx
        self._ring = ring
        self._by_id: dict[str, McpSession] = {}
        self._by_wire_id: dict[str, McpSession] = {}
        self._opening: dict[str, McpSession] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def counted(self, key: HeldKey) -> Used:
        """Return how many sessions are open or being opened, of a key, of its user by all keys, and of all others."""
        held = [session.key for session in {**self._opening, **self._by_id}.values()]
        of_user = [each.id for each in held if each.user_id == key.user_id]
        return Used(of_user.count(key.id), len(of_user), len(held) - len(of_user))

    @contextmanager
    def opening(self, session: McpSession) -> Iterator[None]:
        """Count a session from before it is known, so that many that open at once are counted too."""
        self._opening[session.id] = session
        try:
            yield
        finally:
            self._opening.pop(session.id, None)

    def begin(self, key: HeldKey, transport: str, ip: str | None, client: dict[str, Any]) -> McpSession:
        """Begin a session; `client` is the client's self-description."""
        now = self._ctx.clock.now()
        session = McpSession(key=key, transport=transport, ip=ip, connected_at=now, last_active_at=now)
        self.introduce(session, client)
        return session

    def introduce(self, session: McpSession, client: dict[str, Any]) -> None:
        """Store a client's self-description."""
        name, version = client.get("name"), client.get("version")
        session.client_name = name[:100] if isinstance(name, str) and name else session.key.client
        session.client_version = version[:50] if isinstance(version, str) else ""

    def add(self, session: McpSession) -> None:
        """Know a session from now on."""
        self._by_id[session.id] = session
        if session.wire_id is not None:
            self._by_wire_id[session.wire_id] = session

    def drop(self, session: McpSession) -> None:
        """Know a session no longer; it ended by itself."""
        session.ended = True
        self._by_id.pop(session.id, None)
        if session.wire_id is not None:
            self._by_wire_id.pop(session.wire_id, None)
        if session.telling is not None:
            session.telling.cancel()

    def by_wire_id(self, wire_id: str) -> McpSession | None:
        """Return the session of a name in the protocol."""
        return self._by_wire_id.get(wire_id)

    def of_key(self, key_id: str) -> list[McpSession]:
        """Return the sessions of a key."""
        return [session for session in self._by_id.values() if session.key.id == key_id]

    def all(self) -> list[McpSession]:
        """Return all sessions."""
        return list(self._by_id.values())

    def list(self, user_id: str) -> list[SessionOut]:
        """Return a user's sessions, newest first."""
        mine = [s for s in self._by_id.values() if s.key.user_id == user_id]
        mine.sort(key=lambda s: (s.connected_at, s.id), reverse=True)
        return [
            SessionOut(
                id=s.id,
                client_name=s.client_name,
                transport=s.transport,
                ip=s.ip,
                connected_at=s.connected_at,
                last_active_at=s.last_active_at,
                client_version=s.client_version,
                calls=s.calls,
                key_id=s.key.id,
            )
            for s in mine
        ]

    async def disconnect(self, owner: Principal, session_id: str) -> None:
        """End a session of the owner's, as an admin anybody's. Raises NotFound."""
        session = self._by_id.get(session_id)
        if session is None or (session.key.user_id != owner.user_id and owner.role is not Role.ADMIN):
            raise NotFound("session", session_id, message=f"You have no MCP session {session_id[:40]!r}.")
        told = McpSessionEnded(
            resource=session.id,
            details=f"Disconnected the MCP client {session.client_name}",
            client=session.client_name,
        )
        await self.end(session)
        await self._ctx.db.write(lambda db: self._ctx.events.emit(db, told))

    async def end(self, session: McpSession) -> None:
        """End a session: its open requests, its streams, its name."""
        self.drop(session)
        for request in list(session.open):
            request.cancel()
        if session.close is not None:
            await session.close()

    def end_key(self, key_id: str) -> None:
        """End all sessions of a key."""
        for session in self.of_key(key_id):
            task = asyncio.create_task(self.end(session), name=f"memory:end-{session.id}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def end_all(self) -> None:
        """End every session: the node stops."""
        await asyncio.gather(*(self.end(session) for session in self.all()), return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def sweep(self) -> None:
        """End the sessions that idle for too long and those whose key holds no longer."""
        now, idle = self._ctx.clock.now(), self._ctx.settings.server.session_idle_seconds
        for session in self.all():
            key = self._ring.get(session.key.id)
            quiet = not session.open and (now - session.last_active_at).total_seconds() >= idle
            if quiet or key is None or not key.holds(now):
                await self.end(session)

    async def sweep_for_ever(self) -> None:
        """Sweep twice a minute, and the moment that a key expires."""
        while True:
            now = self._ctx.clock.now()
            expiry = self._ring.next_expiry(now)
            until = (expiry - now).total_seconds() if expiry is not None else _SWEEP
            await self._ctx.clock.sleep(min(_SWEEP, max(0.05, until)))
            await self.sweep()


@asynccontextmanager
async def keeping_sessions(ctx: Context) -> AsyncIterator[None]:
    """Track sessions, and end them with their keys."""
    sessions = McpSessions(ctx, ctx.use(KeyCache))
    ctx.use(KeyService).ended = sessions.end_key
    ctx.provide(McpSessions, sessions)
    sweeping = ctx.tasks.start("sweep of sessions", sessions.sweep_for_ever)
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await sessions.end_all()
