"""Settings of the system plugin."""

from __future__ import annotations

from cloudos_sdk import PluginSettings
from pydantic import Field


class SystemSettings(PluginSettings):
    """`[plugins.system]`."""

    smartctl: str = Field(default="smartctl", min_length=1, description="Program that asks disks about their health")
