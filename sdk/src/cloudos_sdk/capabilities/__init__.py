"""Small protocols by which plugins work together without importing each other.

Each has a contract test in `cloudos_sdk.testing.contracts` that every provider passes. Those that a start does not need
are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cloudos_sdk.capabilities.accounts import (
    SESSION_COOKIE,
    Authenticator,
    BearerAuthenticator,
    Credentials,
    Sessions,
    Users,
)
from cloudos_sdk.capabilities.control_panel import ControlPanelLink
from cloudos_sdk.capabilities.own_proxy import OwnProxy
from cloudos_sdk.capabilities.permissions import PermissionCatalogue
from cloudos_sdk.capabilities.plans import PlanSource
from cloudos_sdk.capabilities.plugins import PluginCatalogue, RunningPlugin

if TYPE_CHECKING:
    from cloudos_sdk.capabilities.app_data import AppContents, AppData, DataDump, DataFolder, Hold, Making
    from cloudos_sdk.capabilities.apps import AppAddress, Apps
    from cloudos_sdk.capabilities.backups import BackupSource
    from cloudos_sdk.capabilities.embeddings import Embedder
    from cloudos_sdk.capabilities.mcp import McpParts, McpPrompt, McpResource, McpResult, McpSource, McpTool
    from cloudos_sdk.capabilities.memory import Recall, Recalled
    from cloudos_sdk.capabilities.metrics import Metric, Metrics, MetricSource, Sample, Tick
    from cloudos_sdk.capabilities.notes import (
        Neighbour,
        Note,
        NoteChange,
        NoteDraft,
        NoteFilter,
        NoteStats,
        NoteStore,
        TextHit,
    )

_LATER = {
    "app_data": ("AppContents", "AppData", "DataDump", "DataFolder", "Hold", "Making"),
    "apps": ("AppAddress", "Apps"),
    "backups": ("BackupSource",),
    "embeddings": ("Embedder",),
    "mcp": ("McpParts", "McpPrompt", "McpResource", "McpResult", "McpSource", "McpTool"),
    "memory": ("Recall", "Recalled"),
    "metrics": ("Metric", "Metrics", "MetricSource", "Sample", "Tick"),
    "notes": ("Neighbour", "Note", "NoteChange", "NoteDraft", "NoteFilter", "NoteStats", "NoteStore", "TextHit"),
}
_HOMES = {name: module for module, names in _LATER.items() for name in names}

__all__ = [
    "SESSION_COOKIE",
    "AppAddress",
    "AppContents",
    "AppData",
    "Apps",
    "Authenticator",
    "BackupSource",
    "BearerAuthenticator",
    "ControlPanelLink",
    "Credentials",
    "DataDump",
    "DataFolder",
    "Embedder",
    "Hold",
    "Making",
    "McpParts",
    "McpPrompt",
    "McpResource",
    "McpResult",
    "McpSource",
    "McpTool",
    "Metric",
    "MetricSource",
    "Metrics",
    "Neighbour",
    "Note",
    "NoteChange",
    "NoteDraft",
    "NoteFilter",
    "NoteStats",
    "NoteStore",
    "OwnProxy",
    "PermissionCatalogue",
    "PlanSource",
    "PluginCatalogue",
    "Recall",
    "Recalled",
    "RunningPlugin",
    "Sample",
    "Sessions",
    "TextHit",
    "Tick",
    "Users",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
