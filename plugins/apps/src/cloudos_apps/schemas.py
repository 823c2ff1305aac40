"""Bodies, queries and answers of the app endpoints (reference, "Apps")."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body, Query
from pydantic import BaseModel, Field

Allowed = Annotated[list[Annotated[str, Field(max_length=9000)]], Field(default_factory=list, max_length=500)]


class NewApp(Body):
    """An app to install. `allow` names each right that a person gives it beyond its own containers."""

    template: str = Field(min_length=1, max_length=200)
    name: str = Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")
    config: dict[str, Any] = Field(default_factory=dict)
    allow: Allowed


class AppChange(Body):
    """Settings to change (null takes one away), and the template's version to go to (`latest` is the catalogue's)."""

    config: dict[str, Any] = Field(default_factory=dict)
    version: str | None = None
    allow: Allowed


class AppOut(BaseModel):
    """An installed app; `addr` is its HTTP address, `operation_id` its newest operation."""

    id: str
    name: str
    template: str
    version: str
    status: Literal["installing", "running", "stopped", "crashed", "failed", "updating", "uninstalling"]
    addr: str | None
    ports: dict[str, int]
    error: str | None
    operation_id: str | None
    created_at: UtcTime
    updated_at: UtcTime


class AppDetails(AppOut):
    """An installed app with its services, settings and rights; of those in `secrets` the values are not shown."""

    services: list[str]
    rights: list[str]
    config: dict[str, Any]
    secrets: list[str]


class LogQuery(Query):
    """Which lines: the newest `lines`, none before `since` (seconds since 1970 or ISO 8601), and those to come."""

    lines: int = Field(default=100, ge=0, le=10_000)
    since: str | None = None
    follow: bool = False
    service: str | None = None


class LogLine(BaseModel):
    """A line of a container."""

    service: str
    timestamp: str
    message: str


class Logs(BaseModel):
    """The newest lines, oldest first."""

    app_id: str
    lines: list[LogLine]


class Stats(BaseModel):
    """The current usage of an app, summed over its containers."""

    app_id: str
    cpu_percent: float
    memory_usage_mb: int
    memory_limit_mb: int
    network_rx_bytes: int
    network_tx_bytes: int
    disk_usage_mb: int


class Uninstall(Query):
    """Whether the volumes go too."""

    purge: bool = False
