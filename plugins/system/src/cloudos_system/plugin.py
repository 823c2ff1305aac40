"""The system: metrics, disks, interfaces."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(
    title="The system: metrics, disks, interfaces",
    prefixes=(
        "/api/system",
        "/api/network",
    ),
)
