"""Small protocols by which plugins work together without importing each other.

Each has a contract test in `cloudos_sdk.testing.contracts` that every provider passes.
"""

from cloudos_sdk.capabilities.accounts import Authenticator, Credentials
from cloudos_sdk.capabilities.apps import AppAddress, Apps
from cloudos_sdk.capabilities.control_panel import ControlPanelLink
from cloudos_sdk.capabilities.metrics import Metric, Metrics, MetricSource, Sample, Tick
from cloudos_sdk.capabilities.permissions import PermissionCatalogue
from cloudos_sdk.capabilities.plans import PlanSource

__all__ = [
    "AppAddress",
    "Apps",
    "Authenticator",
    "ControlPanelLink",
    "Credentials",
    "Metric",
    "MetricSource",
    "Metrics",
    "PermissionCatalogue",
    "PlanSource",
    "Sample",
    "Tick",
]
