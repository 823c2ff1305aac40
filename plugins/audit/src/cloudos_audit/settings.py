"""Settings of the audit log."""

from __future__ import annotations

from typing import Annotated

from cloudos_sdk import PluginSettings
from pydantic import AfterValidator, Field


class AuditSettings(PluginSettings):
    """The section `[plugins.audit]`."""

    retention_days: Annotated[int | None, AfterValidator(lambda days: days or None)] = Field(
        default=365, ge=0, le=36_500, description="Days that entries are kept; 0 keeps them for ever"
    )
    seal_minutes: int = Field(
        default=60, ge=0, le=10_080, description="Minutes from one audit.sealed to the next; 0 emits none"
    )
    syslog: str = Field(
        default="",
        pattern=r"^(/\S+|\S+:[0-9]{1,5})?$",
        description="Where the end of the log is told: /dev/log, or host:514 of another machine (UDP)",
    )
