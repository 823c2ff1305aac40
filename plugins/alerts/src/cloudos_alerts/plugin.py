"""Alerts."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(
    title="Alerts",
    prefixes=("/api/alerts",),
)
