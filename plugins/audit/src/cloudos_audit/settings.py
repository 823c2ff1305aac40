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
