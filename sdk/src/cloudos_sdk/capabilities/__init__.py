"""Small protocols by which plugins work together without importing each other.

Each has a contract test in `cloudos_sdk.testing.contracts` that every provider passes.
"""

from cloudos_sdk.capabilities.accounts import Authenticator, BearerAuthenticator, Credentials, Sessions
from cloudos_sdk.capabilities.apps import AppAddress, Apps
from cloudos_sdk.capabilities.control_panel import ControlPanelLink
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
from cloudos_sdk.capabilities.permissions import PermissionCatalogue
from cloudos_sdk.capabilities.plans import PlanSource

__all__ = [
    "AppAddress",
    "Apps",
    "Authenticator",
    "BearerAuthenticator",
    "ControlPanelLink",
    "Credentials",
    "Embedder",
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
    "PermissionCatalogue",
    "PlanSource",
    "Recall",
    "Recalled",
    "Sample",
    "Sessions",
    "TextHit",
    "Tick",
]
