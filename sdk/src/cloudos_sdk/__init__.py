"""The Cloud OS plugin SDK: all that a plugin may import of Cloud OS."""

from cloudos_sdk.completion import to_the_end
from cloudos_sdk.context import Clock, Context, Database, Operation, current, use
from cloudos_sdk.errors import (
    CloudOSError,
    Conflict,
    DatabaseUnavailable,
    Forbidden,
    InvalidRequest,
    NotFound,
    NotImplementedHere,
    NotReady,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UpgradeRequired,
)
from cloudos_sdk.events import Actor, Envelope, Event
from cloudos_sdk.hooks import Health, Mount, hookimpl
from cloudos_sdk.identity import Caller, Principal, caller, principal
from cloudos_sdk.jobs import Job
from cloudos_sdk.manifest import Component, Feature, Manifest, Permission, PluginSettings, Role
from cloudos_sdk.models import UtcDateTime, UtcTime, iso, model_base, new_id
from cloudos_sdk.policy import Policy, accepts, in_person, licensed, limited, public, requires, signed_in

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "Caller",
    "Clock",
    "CloudOSError",
    "Component",
    "Conflict",
    "Context",
    "Database",
    "DatabaseUnavailable",
    "Envelope",
    "Event",
    "Feature",
    "Forbidden",
    "Health",
    "InvalidRequest",
    "Job",
    "Manifest",
    "Mount",
    "NotFound",
    "NotImplementedHere",
    "NotReady",
    "Operation",
    "Permission",
    "PluginSettings",
    "Policy",
    "Principal",
    "Role",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UpgradeRequired",
    "UtcDateTime",
    "UtcTime",
    "accepts",
    "caller",
    "current",
    "hookimpl",
    "in_person",
    "iso",
    "licensed",
    "limited",
    "model_base",
    "new_id",
    "principal",
    "public",
    "requires",
    "signed_in",
    "to_the_end",
    "use",
]
