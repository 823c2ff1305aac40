"""Webhooks."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(
    title="Webhooks",
    prefixes=("/api/webhooks",),
)
