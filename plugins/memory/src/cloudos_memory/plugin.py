"""Memory."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(
    title="Memory",
    prefixes=(
        "/mcp",
        "/api/mcp",
    ),
)
