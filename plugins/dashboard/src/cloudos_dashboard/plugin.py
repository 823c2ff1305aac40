"""Dashboards."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(
    title="Dashboards",
    prefixes=("/api/profile/dashboard",),
)
