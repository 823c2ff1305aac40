"""The endpoints of MCP keys."""

from __future__ import annotations

from cloudos_sdk import Forbidden, Principal, principal, requires, use
from quart import Blueprint
from quart_schema import validate_request, validate_response

from cloudos_memory.keys import Keys
from cloudos_memory.schemas import KeyCreatedOut, KeyOut, NewKey

routes = Blueprint("memory", __name__)


def _person() -> Principal:
    """Return the signed-in person; a key makes no keys and ends none."""
    who = principal()
    if who.kind != "user":
        raise Forbidden("Only a signed-in person may do this, not a key.", code="person_required")
    return who


@routes.get("/api/mcp/keys")
@requires("memory:read")
@validate_response(list[KeyOut])
async def list_keys() -> list[KeyOut]:
    """List the caller's MCP keys, newest first."""
    return use(Keys).list(principal())


@routes.post("/api/mcp/keys")
@requires("memory:write")
@validate_request(NewKey)
@validate_response(KeyCreatedOut, 201)
async def create_key(data: NewKey) -> tuple[KeyCreatedOut, int]:
    """Make an MCP key; its bearer is shown this once."""
    return await use(Keys).create(_person(), data), 201


@routes.delete("/api/mcp/keys/<key_id>")
@requires("memory:write")
async def revoke_key(key_id: str) -> tuple[str, int]:
    """Revoke an MCP key; its open streams end."""
    await use(Keys).revoke(_person(), key_id)
    return "", 204


@routes.post("/api/mcp/keys/<key_id>/rotate")
@requires("memory:write")
@validate_response(KeyCreatedOut, 201)
async def rotate_key(key_id: str) -> tuple[KeyCreatedOut, int]:
    """Revoke an MCP key and make another like it; its bearer is shown this once."""
    return await use(Keys).rotate(_person(), key_id), 201
