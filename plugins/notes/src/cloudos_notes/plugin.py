"""Notes."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(
    title="Notes",
    prefixes=(
        "/api/notes",
        "/api/molly",
    ),
)
