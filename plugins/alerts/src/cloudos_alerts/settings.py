"""Settings of the alerts."""

from __future__ import annotations

from cloudos_sdk import PluginSettings
from pydantic import Field


class AlertsSettings(PluginSettings):
    """The section `[plugins.alerts]`."""

    patience_seconds: int = Field(
        default=60, ge=15, le=3600, description="Seconds without a value until a series has no data"
    )
    outage_seconds: int = Field(
        default=3600, ge=0, description="Longest time unseen after which a pending alert goes on where it was"
    )
    event_seconds: int = Field(
        default=600, ge=10, le=604_800, description="Seconds for which an event counts in event.* metrics"
    )
    send_seconds: float = Field(default=20, gt=0, le=300, description="Seconds that sending one notification may take")
    give_up_hours: int = Field(default=24, ge=1, le=168, description="Hours in which a notification is tried")
    history_days: int = Field(default=365, ge=1, le=36_500, description="Days that ended alerts are kept")
    default_rules: bool = Field(default=True, description="Make the first rules of a new node")
    node_name: str = Field(default="", max_length=100, description="Name in messages; the machine's without one")
