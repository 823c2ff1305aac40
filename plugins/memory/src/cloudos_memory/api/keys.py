"""The endpoints of MCP keys, sessions and sync."""

from __future__ import annotations

from collections.abc import Awaitable

from cloudos_sdk import Forbidden, NotFound, Principal, Role, licensed, principal, requires, use
from cloudos_sdk.http import answers
from quart import Blueprint
from quart_schema import validate_querystring, validate_request, validate_response

from cloudos_memory.keys.service import KeyService
from cloudos_memory.mcp_server.sessions import McpSessions
from cloudos_memory.schemas import (
    KeyCreatedOut,
    KeyOut,
    NamespaceChoice,
    NewKey,
    SessionOut,
    SyncNamespaceOut,
    SyncStatusOut,
    UserQuery,
)
from cloudos_memory.sync.service import SyncService

routes = Blueprint("memory", __name__)


def _person() -> Principal:
    """Return the signed-in person; a key makes no keys and ends none."""
    who = principal()
    if who.kind != "user":
        raise Forbidden("Only a signed-in person may do this, not a key.", code="person_required")
    return who


async def _end(ending: Awaitable[None]) -> None:
    """End a session: the caller's own in any role; viewers do not learn whether others' exist."""
    try:
        await ending
    except NotFound:
        if principal().role is Role.VIEWER:
            raise Forbidden("You lack the permission memory:write.", permission="memory:write") from None
        raise


def _whose(query: UserQuery) -> str:
    """Return the user whose keys are asked for: the caller, or the one that an admin names."""
    who = principal()
    if query.user in (None, who.user_id):
        return who.user_id
    if who.kind != "user" or who.role is not Role.ADMIN:
        raise Forbidden("Only an admin who is signed in may see the MCP keys of others.", code="admin_required")
    return query.user or ""


@routes.get("/api/mcp/keys")
@requires("memory:read")
@validate_querystring(UserQuery)
@validate_response(list[KeyOut])
async def list_keys(query_args: UserQuery) -> list[KeyOut]:
    """List the caller's MCP keys, newest first; to an admin those of `user`."""
    return use(KeyService).list(_whose(query_args))


@routes.post("/api/mcp/keys")
@requires("memory:write")
@validate_request(NewKey)
@validate_response(KeyCreatedOut, 201)
@answers(429)
async def create_key(data: NewKey) -> tuple[KeyCreatedOut, int]:
    """Make an MCP key; its bearer is shown this once."""
    return await use(KeyService).create(_person(), data), 201


@routes.delete("/api/mcp/keys/<key_id>")
@requires("memory:read")
@answers(204)
async def revoke_key(key_id: str) -> tuple[str, int]:
    """Revoke an MCP key; its open streams end. One's own in any role, and anybody's as an admin."""
    await _end(use(KeyService).revoke(_person(), key_id))
    return "", 204


@routes.post("/api/mcp/keys/<key_id>/rotate")
@requires("memory:write")
@validate_response(KeyCreatedOut, 201)
@answers(429)
async def rotate_key(key_id: str) -> tuple[KeyCreatedOut, int]:
    """Revoke an MCP key and make another like it; its bearer is shown this once."""
    return await use(KeyService).rotate(_person(), key_id), 201


@routes.get("/api/mcp/sessions")
@requires("memory:read")
@validate_querystring(UserQuery)
@validate_response(list[SessionOut])
async def list_sessions(query_args: UserQuery) -> list[SessionOut]:
    """List the MCP connections of the caller's keys that are open now, newest first; to an admin those of `user`."""
    return use(McpSessions).list(_whose(query_args))


@routes.delete("/api/mcp/sessions/<session_id>")
@requires("memory:read")
@answers(204)
async def end_session(session_id: str) -> tuple[str, int]:
    """Disconnect an MCP client."""
    await _end(use(McpSessions).disconnect(_person(), session_id))
    return "", 204


@routes.get("/api/mcp/sync/status")
@requires("memory:read")
@validate_response(SyncStatusOut)
async def sync_status() -> SyncStatusOut:
    """Return the replication of the caller's namespaces."""
    return await use(SyncService).status(principal().user_id)


@routes.post("/api/mcp/sync/enable")
@requires("memory:write")
@licensed("orbit_memory_sync")
@validate_request(NamespaceChoice)
@validate_response(SyncNamespaceOut)
async def enable_sync(data: NamespaceChoice) -> SyncNamespaceOut:
    """Opt a namespace in to replication."""
    return await use(SyncService).enable(principal().user_id, data.namespace)


@routes.post("/api/mcp/sync/disable")
@requires("memory:write")
@validate_request(NamespaceChoice)
@validate_response(SyncNamespaceOut)
@answers(404)
async def disable_sync(data: NamespaceChoice) -> SyncNamespaceOut:
    """Pause the replication of a namespace; its cursor stays."""
    return await use(SyncService).disable(principal().user_id, data.namespace)


@routes.post("/api/mcp/sync/resync")
@requires("memory:write")
@licensed("orbit_memory_sync")
@validate_request(NamespaceChoice)
@validate_response(SyncNamespaceOut, 202)
@answers(404)
async def resync(data: NamespaceChoice) -> tuple[SyncNamespaceOut, int]:
    """Ask for one push and one pull of a namespace."""
    return await use(SyncService).resync(principal().user_id, data.namespace), 202


@routes.post("/api/mcp/sync/reset")
@requires("memory:write")
@validate_request(NamespaceChoice)
@validate_response(SyncNamespaceOut)
@answers(404)
async def reset_sync(data: NamespaceChoice) -> SyncNamespaceOut:
    """Drop the cursor and the outbox of a namespace."""
    return await use(SyncService).reset(principal().user_id, data.namespace)
