"""The data of MCP key events."""

from __future__ import annotations

from cloudos_sdk import Event

from cloudos_memory.events import McpKeyCreated, McpKeyRevoked, McpKeyRotated
from cloudos_memory.keys.cache import HeldKey


def told_made(key: HeldKey, replaced: HeldKey | None) -> Event:
    """Return the event of a key that was made, in the place of another or not."""
    if replaced is not None:
        details = f"Rotated the MCP key {key.name}"
        return McpKeyRotated(resource=key.id, details=details, name=key.name, replaced=replaced.id)
    details = f"Made the MCP key {key.name} for the namespace {key.namespace}"
    return McpKeyCreated(
        resource=key.id, details=details, name=key.name, namespace=key.namespace, scopes=list(key.scopes)
    )


def told_revoked(key: HeldKey) -> McpKeyRevoked:
    """Return the event of a key that was revoked."""
    return McpKeyRevoked(resource=key.id, details=f"Revoked the MCP key {key.name}", name=key.name)
