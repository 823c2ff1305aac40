"""The default layouts: version 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "server": (
        {"id": "cpu", "x": 0, "y": 0, "w": 1, "h": 1},
        {"id": "ram", "x": 1, "y": 0, "w": 1, "h": 1},
        {"id": "network", "x": 2, "y": 0, "w": 2, "h": 2},
        {"id": "storage", "x": 0, "y": 1, "w": 2, "h": 1},
        {"id": "apps", "x": 0, "y": 2, "w": 2, "h": 2},
        {"id": "backups", "x": 2, "y": 2, "w": 1, "h": 2},
        {"id": "alerts", "x": 3, "y": 2, "w": 1, "h": 2},
    ),
    "personal": (
        {"id": "apps", "x": 0, "y": 0, "w": 2, "h": 2},
        {"id": "notes", "x": 2, "y": 0, "w": 2, "h": 2},
    ),
}
