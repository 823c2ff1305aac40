"""Settings of the webhooks."""

from __future__ import annotations

from typing import Annotated

from cloudos_sdk import PluginSettings
from pydantic import Field

Delay = Annotated[float, Field(ge=0, le=604_800)]


class WebhooksSettings(PluginSettings):
    """The section `[plugins.webhooks]`."""

    allow_private: bool = Field(
        default=False, description="Send to loopback, private, link-local and metadata addresses too"
    )
    timeout_seconds: float = Field(default=15.0, gt=0, le=60, description="Seconds that one try may take")
    retry_seconds: tuple[Delay, ...] = Field(
        default=(5, 60, 300, 1800, 7200, 21_600, 54_000),
        max_length=30,
        description="Seconds from each try to the next, give or take a tenth; there is one try more than numbers",
    )
    retention_days: int = Field(default=30, ge=1, le=3650, description="Days that deliveries are kept")
