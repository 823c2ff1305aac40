"""The SDK's transports: two session managers, one for streams and one for plain JSON, and the legacy SSE."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
    event_to_notification,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from cloudos_memory.mcp_server.asgi import SESSION_HEADER, VERSION_HEADER, McpResponse, RequestEnds, header
from cloudos_memory.mcp_server.sdk.event_store import SessionEventStore
from cloudos_memory.mcp_server.sdk.handlers import Protocol
from cloudos_memory.mcp_server.sessions import McpSession, McpSessions, take_in_hand
from cloudos_memory.settings import ServerSettings

_RETRY_MS = 1000
_LIST_EVENTS: dict[str, type[ToolsListChanged] | type[ResourcesListChanged] | type[PromptsListChanged]] = {
    "notifications/tools/list_changed": ToolsListChanged,
    "notifications/resources/list_changed": ResourcesListChanged,
    "notifications/prompts/list_changed": PromptsListChanged,
}
_ENDPOINT = re.compile(rb"session_id=([0-9a-f]{32})")


class Transports:
    """Serves requests that were let in."""

    def __init__(self, protocol: Protocol, sessions: McpSessions, settings: ServerSettings) -> None:
        self.protocol = protocol
        self._sessions = sessions
        log = SessionEventStore(settings.events_kept, settings.bytes_kept)
        most = settings.max_sessions

        def manager(json: bool) -> StreamableHTTPSessionManager:
            return StreamableHTTPSessionManager(
                protocol.server,
                event_store=None if json else log,
                json_response=json,
                retry_interval=_RETRY_MS,
                session_idle_timeout=None,  # McpSessions sweeps, so that what is listed is what there is
                max_request_body_size=settings.max_body,
                max_sessions=most,
            )

        self._streams, self._plain = manager(json=False), manager(json=True)
        self._sse = SseServerTransport("/mcp/messages", max_request_body_size=settings.max_body)
        self._stop = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Run the managers until stopped."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._streams.run())
            await stack.enter_async_context(self._plain.run())
            ready()
            await self._stop.wait()

    def stop(self) -> None:
        """Stop."""
        self._stop.set()

    async def open(self, session: McpSession, scope: Any, receive: Any, send: Any) -> None:
        """Serve the request that opens a session of the Streamable HTTP transport."""
        manager = self._plain if _wants_json_only(scope) else self._streams

        def opened(status: int, headers: dict[bytes, bytes]) -> None:
            wire_id = headers.get(SESSION_HEADER, b"").decode()
            if status < 400 and wire_id:
                session.wire_id = wire_id
                session.close = lambda: self._delete(manager, session)
                session.transport_app = manager.handle_request
                self._sessions.add(session)

        await self._serve(session, manager.handle_request, scope, receive, McpResponse(send, opened))

    async def go_on(self, session: McpSession, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request of a session of the Streamable HTTP transport."""

        def gone(status: int, headers: dict[bytes, bytes]) -> None:
            if status == 404 or (scope["method"] == "DELETE" and status < 300):
                self._sessions.drop(session)

        await self._serve(
            session, session.transport_app, _as_negotiated(session, scope), receive, McpResponse(send, gone)
        )

    async def alone(self, session: McpSession, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request without a session: of a revision that has none, or one that the SDK refuses."""
        manager = self._plain if _wants_json_only(scope) else self._streams
        self._sessions.add(session)
        try:
            await self._serve(session, manager.handle_request, scope, receive, McpResponse(send))
        finally:
            self._sessions.drop(session)

    async def sse(self, session: McpSession, scope: Any, receive: Any, send: Any) -> None:
        """Serve the event stream of the legacy transport; its session is as long as it."""

        def sent(body: bytes) -> None:
            match = _ENDPOINT.search(body) if session.wire_id is None else None
            if match is not None:
                session.wire_id = match[1].decode()
                self._sessions.add(session)

        async def stream(scope: Any, receive: Any, send: Any) -> None:
            server = self.protocol.server
            async with self._sse.connect_sse(scope, receive, send) as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options())

        try:
            await self._serve(session, stream, scope, receive, McpResponse(send, body=sent))
        finally:
            self._sessions.drop(session)

    async def message(self, session: McpSession, scope: Any, receive: Any, send: Any) -> None:
        """Take a message of the legacy transport."""
        await self._serve(session, self._sse.handle_post_message, scope, receive, McpResponse(send))

    async def tell(self, session: McpSession, methods: set[str], uris: set[str]) -> None:
        """Tell a client that lists and resources changed."""
        for method in sorted(methods):
            event = _LIST_EVENTS[method]
            self.protocol.bus.tell(session, event())
            if session.peer is not None:
                await session.peer.send_notification(event_to_notification(event(), {}))
        for uri in sorted(uris):
            self.protocol.bus.tell(session, ResourceUpdated(uri))
            if session.peer is not None:
                await session.peer.send_resource_updated(uri)

    async def _serve(self, session: McpSession, app: Any, scope: Any, receive: Any, answer: McpResponse) -> None:
        """Run one request so that it can be ended from outside."""
        take_in_hand(session)
        scope, ends = {**scope, "user": _user(session)}, RequestEnds(receive)
        with anyio.CancelScope() as request:
            session.open.add(request)
            try:
                await app(scope, ends.receive, answer.send)
            finally:
                session.open.discard(request)
                answer.close()
        try:
            if request.cancelled_caught or session.ended:
                await answer.finish()
        finally:
            ends.let_go()
            answer.let_go()

    async def _delete(self, manager: StreamableHTTPSessionManager, session: McpSession) -> None:
        """End a session as its client would: by DELETE."""
        wire_id = (session.wire_id or "").encode()
        scope = {
            "type": "http",
            "method": "DELETE",
            "path": "/mcp",
            "query_string": b"",
            "headers": [(SESSION_HEADER, wire_id), (b"host", b"localhost")],
            "user": _user(session),
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            """Ignore the message."""

        take_in_hand(session)
        await manager.handle_request(scope, receive, send)


def _user(session: McpSession) -> AuthenticatedUser:
    """Return the key as the SDK wants it: a session is served to the key that opened it and to no other."""
    if session.user is None:
        key = session.key
        token = AccessToken(token="", client_id=key.id, scopes=list(key.scopes), subject=key.user_id)
        session.user = AuthenticatedUser(token)
    user: AuthenticatedUser = session.user
    return user


def _as_negotiated(session: McpSession, scope: Any) -> Any:
    """Return the request with its session's protocol revision, if its header names a compatible other one."""
    claimed = header(scope, VERSION_HEADER).decode("latin1")
    if session.peer is None or claimed not in HANDSHAKE_PROTOCOL_VERSIONS:
        return scope
    spoken: str = session.peer.protocol_version
    if spoken == claimed:
        return scope
    headers = [(name, spoken.encode() if name == VERSION_HEADER else value) for name, value in scope["headers"]]
    return {**scope, "headers": headers}


def _wants_json_only(scope: Any) -> bool:
    """Return whether a client accepts only JSON, though the protocol asks clients to accept event streams too."""
    accepts = header(scope, b"accept")
    return b"application/json" in accepts and b"text/event-stream" not in accepts and b"*/*" not in accepts
