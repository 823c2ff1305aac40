"""The audit log: who did what, on what, from where; append-only and hash-chained."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(title="Audit log", prefixes=("/api/audit",))
