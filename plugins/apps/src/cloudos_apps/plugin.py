"""Apps: what runs on the node, as containers of a Docker Engine, made from templates."""

from __future__ import annotations

from cloudos_sdk import Manifest

manifest = Manifest(title="Apps", prefixes=("/api/apps", "/api/templates"))
