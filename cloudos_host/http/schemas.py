"""The answers of the host's own endpoints."""

from __future__ import annotations

from typing import Any, Literal

from cloudos_sdk import UtcTime
from pydantic import BaseModel


class Alive(BaseModel):
    """The process is alive; `database` is `ok` or an error code."""

    status: Literal["ok"]
    database: str


class Readiness(BaseModel):
    """Whether every plugin that should run does, and which fail their health check."""

    ready: bool
    not_ready: list[str]
    degraded: list[str]


class PluginHealth(BaseModel):
    """How a plugin is, and one sentence for a person."""

    ok: bool
    detail: str


class PluginOut(BaseModel):
    """A plugin: phase, state and reason."""

    id: str
    title: str
    version: str
    distribution: str
    state: Literal["pending", "running", "waiting", "failed", "disabled", "stopped"]
    phase: Literal["discover", "import", "validate", "order", "migrate", "start", "serve"]
    reason: str | None
    health: PluginHealth
    prefixes: list[str]


class OperationOut(BaseModel):
    """An operation: progress and result."""

    id: str
    kind: str
    resource: str | None
    title: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: float | None
    message: str | None
    result: Any
    error: Any
    created_at: UtcTime
    started_at: UtcTime | None
    finished_at: UtcTime | None


class PlanFeatures(BaseModel):
    """The plan's feature flags and limits; a limit of null is unlimited."""

    plan: str
    features: dict[str, bool]
    limits: dict[str, int | None]
