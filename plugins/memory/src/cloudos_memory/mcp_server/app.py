"""The door of the MCP server: one ASGI application for the three transports.

The host's gate has checked the bearer. Here: from where, how long, how often, for which session; then the SDK.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import orjson
from cloudos_sdk import Context, InvalidRequest, Unavailable, caller, principal, use
from cloudos_sdk.json_text import read_json

from cloudos_memory.keys.cache import HeldKey, KeyCache
from cloudos_memory.keys.rate_limit import KeyRateLimit
from cloudos_memory.mcp_server.asgi import (
    INVALID_REQUEST,
    PARSE_ERROR,
    RATE_LIMITED,
    SESSION_HEADER,
    VERSION_HEADER,
    header,
    read_body,
    refuse,
    replay,
)
from cloudos_memory.mcp_server.cors import allow, shared
from cloudos_memory.mcp_server.dispatch import ToolDispatch
from cloudos_memory.mcp_server.origin_check import OriginCheck
from cloudos_memory.mcp_server.registry import ToolRegistry
from cloudos_memory.mcp_server.sessions import McpSession, McpSessions

_UNCOUNTED = frozenset({"initialize", "ping", "server/discover"})
_METHODS = {"/mcp": ("GET", "POST", "DELETE"), "/mcp/sse": ("GET",), "/mcp/messages": ("POST",)}
_PRELOAD_AFTER = 5.0
_BODY_SECONDS = 60.0
_ENVELOPE = "io.modelcontextprotocol/clientInfo"


async def mcp_app(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request below `/mcp`."""
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008})
        return
    await use(McpApp)(scope, receive, send)


class McpApp:
    """Decides about each request and hands it to the engine, which is loaded when it is first needed."""

    def __init__(self, ctx: Context, ring: KeyCache, sessions: McpSessions, catalogue: ToolRegistry) -> None:
        self._ctx = ctx
        self._settings = ctx.settings.server
        self._ring = ring
        self._sessions = sessions
        self._catalogue = catalogue
        self._origins = OriginCheck(self._settings.allowed_hosts, self._settings.allowed_origins)
        self._rates = KeyRateLimit()
        self._home = contextvars.copy_context()
        self._loading: asyncio.Task[Any] | None = None
        self._running: asyncio.Task[None] | None = None
        self.engine: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        path, method = scope["path"].rstrip("/"), scope["method"]
        if path not in _METHODS:
            await refuse(send, 404, INVALID_REQUEST, "MCP is served at /mcp, /mcp/sse and /mcp/messages.")
            return
        origin = header(scope, b"origin")
        if method == "OPTIONS" and origin:
            if await self._from_here(scope, send):
                await allow(send, origin, _METHODS[path])
            return
        if method not in _METHODS[path]:
            allowed = (b"allow", ", ".join(_METHODS[path]).encode())
            await refuse(send, 405, INVALID_REQUEST, f"{path} takes no {method}.", headers=(allowed,))
            return
        if not await self._from_here(scope, send):
            return
        send = shared(send, origin) if origin else send
        key = self._ring.get(principal().id)
        if key is None:
            await refuse(send, 404, INVALID_REQUEST, "This key is gone.")
            return
        engine = self.engine or await self._load()
        if method == "POST":
            await self._post(engine, key, path, scope, receive, send)
        elif path == "/mcp/sse":
            if await self._room(key, send):
                session = self._sessions.begin(key, "sse", _address(scope), {})
                with self._sessions.opening(session):
                    await engine.sse(session, scope, receive, send)
        else:
            await self._streamable(engine, key, None, scope, receive, send)

    async def _from_here(self, scope: Any, send: Any) -> bool:
        host, origin = header(scope, b"host").decode("latin1"), header(scope, b"origin").decode("latin1")
        wrong = self._origins.allows(host, origin or None)
        if wrong == "host":
            message = f"This node is not called {host[:100]!r} for MCP; add it to plugins.memory.server.allowed_hosts."
            await refuse(send, 421, INVALID_REQUEST, message)
        elif wrong == "origin":
            message = f"Pages of {origin[:100]!r} may not call; see plugins.memory.server.allowed_origins."
            await refuse(send, 403, INVALID_REQUEST, message)
        return wrong is None

    async def _post(self, engine: Any, key: HeldKey, path: str, scope: Any, receive: Any, send: Any) -> None:
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await read_body(receive, self._settings.max_body)
        except TimeoutError:
            await refuse(send, 408, INVALID_REQUEST, "The message did not arrive in time.")
            return
        if body is None:
            message = f"A message may have {self._settings.max_body} bytes."
            await refuse(send, 413, INVALID_REQUEST, message)
            return
        try:
            message = read_json(body)
        except InvalidRequest as error:
            await refuse(send, 400, PARSE_ERROR, f"Parse error: {error.message}")
            return
        if not isinstance(message, dict):
            await refuse(send, 400, INVALID_REQUEST, "One message at a time: MCP has no batches since 2025-06-18.")
            return
        if "method" in message and "id" in message and _id(message) is None:
            await refuse(send, 400, INVALID_REQUEST, "The id of a request is a string or an integer.")
            return
        if not await self._counted(key, message, send):
            return
        receive = replay(orjson.dumps(message), receive)  # what was counted here is what is done there
        if path == "/mcp":
            await self._streamable(engine, key, message, scope, receive, send)
            return
        wire_id = parse_qs(scope["query_string"].decode("latin1")).get("session_id", [""])[0]
        session = self._sessions.by_wire_id(wire_id)
        if session is None or session.key.id != key.id or session.transport != "sse":
            status, text = (404, "There is no such session.") if wire_id else (400, "session_id is missing.")
            await refuse(send, status, INVALID_REQUEST, text, _id(message))
            return
        self._stamp(session, message)
        await engine.message(session, scope, receive, send)

    async def _streamable(
        self, engine: Any, key: HeldKey, message: dict[str, Any] | None, scope: Any, receive: Any, send: Any
    ) -> None:
        wire_id = header(scope, SESSION_HEADER).decode("latin1")
        session = self._sessions.by_wire_id(wire_id) if wire_id else None
        if session is not None and session.key.id == key.id and session.transport == "streamable-http":
            self._stamp(session, message)
            await engine.go_on(session, scope, receive, send)
            return
        if wire_id:
            await refuse(send, 404, INVALID_REQUEST, "Session not found", _id(message))
            return
        client = _client(message)
        fresh = self._sessions.begin(key, "streamable-http", _address(scope), client)
        if message is not None and message.get("method") == "initialize":
            if await self._room(key, send, _id(message)):
                with self._sessions.opening(fresh):
                    await engine.open(fresh, scope, receive, send)
        elif message is None or (not header(scope, VERSION_HEADER) and "method" in message):
            await refuse(send, 400, INVALID_REQUEST, "Bad Request: Missing session ID", _id(message))
        elif await self._room(key, send, _id(message)):
            await engine.alone(fresh, scope, receive, send)

    async def _counted(self, key: HeldKey, message: Mapping[str, Any], send: Any) -> bool:
        """Count a request against the plan's rate; notifications, answers and the handshake are free."""
        method = message.get("method")
        if "id" not in message or not isinstance(method, str) or method in _UNCOUNTED:
            return True
        limit = self._ctx.licence.limit("mcp_rate_per_minute")
        wait = self._rates.wait(key.user_id, limit, self._ctx.clock.monotonic())
        if not wait:
            return True
        plan = self._ctx.licence.plan
        text = f"You may make {limit} calls a minute, by all your keys, on the plan {plan}; wait {wait} s."
        retry = (b"retry-after", str(wait).encode())
        await refuse(send, 429, RATE_LIMITED, text, _id(message), (retry,), {"retry_after": wait})
        return False

    async def _room(self, key: HeldKey, send: Any, id: Any = None) -> bool:
        """Raise TooManyRequests if a session exceeds the limits; one user gets at most half of the free places."""
        limits, used = self._settings, self._sessions.counted(key)
        share = min(limits.max_sessions_per_user, (limits.max_sessions - used.others) / 2)
        if used.key >= limits.max_sessions_per_key or used.user >= share:
            retry = ((b"retry-after", b"30"),)
            text = "Too many MCP sessions are open" if used.others else "Too many of your MCP sessions are open"
            await refuse(send, 503, INVALID_REQUEST, f"{text}; end some first.", id, retry)
            return False
        return True

    def _stamp(self, session: McpSession, message: Mapping[str, Any] | None) -> None:
        session.last_active_at = self._ctx.clock.now()
        if message is None or "method" not in message:
            return
        if "id" in message:
            session.calls += 1
        if message["method"] == "initialize" and session.transport == "sse":
            self._sessions.introduce(session, _client(message))

    async def _load(self) -> Any:
        """Return the transports, importing them in a thread on first use."""
        if self._loading is None or (self._loading.done() and self.engine is None):
            self._loading = asyncio.create_task(self._start(), name="memory:load-mcp", context=self._home)
        return await asyncio.shield(self._loading)

    async def _start(self) -> Any:
        engine_module = await asyncio.to_thread(importlib.import_module, "cloudos_memory.mcp_server.sdk.transports")
        protocol_module = importlib.import_module("cloudos_memory.mcp_server.sdk.handlers")
        version = importlib.metadata.version("cloudos-memory")
        protocol = protocol_module.Protocol(self._catalogue, ToolDispatch(self._ctx, self._catalogue), version)
        engine = engine_module.Transports(protocol, self._sessions, self._settings)
        ready = asyncio.Event()
        self._running = self._ctx.tasks.start("MCP engine", partial(engine.run, ready.set), restart=False)
        self._running.add_done_callback(self._ended)
        starting = asyncio.ensure_future(ready.wait())
        await asyncio.wait([starting, self._running], return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        if self._running.done():
            raise Unavailable("The MCP engine does not start; the log says why.", code="mcp_unavailable", retry_after=5)
        self.engine = engine
        return engine

    def _ended(self, running: asyncio.Task[None]) -> None:
        """Have the next request load another engine."""
        if self._running is running:
            self.engine = None

    async def preload(self) -> None:
        """Load the engine a while after the start, on a node that has keys in use."""
        await self._ctx.clock.sleep(_PRELOAD_AFTER)
        if self._ring.live(self._ctx.clock.now()):
            await self._load()

    async def close(self) -> None:
        """Stop the engine."""
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
        if self.engine is not None and self._running is not None:
            self.engine.stop()
            await asyncio.gather(self._running, return_exceptions=True)


def _client(message: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a client's self-description, from the handshake or the request's envelope."""
    params = (message or {}).get("params")
    if not isinstance(params, dict):
        return {}
    meta = params.get("_meta")
    info = params.get("clientInfo") or (meta.get(_ENVELOPE) if isinstance(meta, dict) else None)
    return info if isinstance(info, dict) else {}


def _address(scope: Any) -> str | None:
    """Return the client address: from the gate, else from the connection."""
    client = scope.get("client")
    return caller().address or (client[0] if client else None)


def _id(message: Mapping[str, Any] | None) -> Any:
    """Return the id to answer with, if it is one."""
    id = (message or {}).get("id")
    return id if isinstance(id, str | int) and not isinstance(id, bool) else None


@asynccontextmanager
async def serving_mcp(ctx: Context) -> AsyncIterator[None]:
    """Serve MCP."""
    catalogue, sessions = ToolRegistry(ctx), ctx.use(McpSessions)
    front = McpApp(ctx, ctx.use(KeyCache), sessions, catalogue)
    ctx.provide(ToolRegistry, catalogue)
    ctx.provide(McpApp, front)
    preloading = ctx.tasks.start("load of MCP", front.preload)
    try:
        yield
    finally:
        preloading.cancel()
        await asyncio.gather(preloading, return_exceptions=True)
        await sessions.end_all()
        await front.close()
