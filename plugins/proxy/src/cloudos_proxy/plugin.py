"""The reverse proxy."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(
    title="The reverse proxy",
    prefixes=(
        "/api/proxy",
        "/api/domains",
        "/api/settings/proxy",
        "/api/auth/validate",
    ),
)
