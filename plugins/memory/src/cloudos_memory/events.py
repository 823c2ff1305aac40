"""The events of this plugin."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class McpKeyCreated(Event, type="mcp_key.created"):
    """An MCP key was made."""

    name: str
    namespace: str
    scopes: list[str]


@dataclass(frozen=True, kw_only=True)
class McpKeyRotated(Event, type="mcp_key.rotated"):
    """An MCP key was revoked and another made in its place."""

    name: str
    replaced: str


@dataclass(frozen=True, kw_only=True)
class McpKeyRevoked(Event, type="mcp_key.revoked"):
    """An MCP key was revoked."""

    name: str


@dataclass(frozen=True, kw_only=True)
class McpSessionEnded(Event, type="mcp_session.ended"):
    """An MCP session was ended by a user."""

    client: str


@dataclass(frozen=True, kw_only=True)
class SyncEnabled(Event, type="memory.sync_enabled"):
    """A namespace was opted in to replication."""

    namespace: str


@dataclass(frozen=True, kw_only=True)
class SyncDisabled(Event, type="memory.sync_disabled"):
    """The replication of a namespace was paused."""

    namespace: str


@dataclass(frozen=True, kw_only=True)
class SyncRequested(Event, type="memory.sync_requested"):
    """A push and a pull of a namespace were asked for."""

    namespace: str


@dataclass(frozen=True, kw_only=True)
class SyncReset(Event, type="memory.sync_reset"):
    """The cursor and the outbox of a namespace were dropped."""

    namespace: str
