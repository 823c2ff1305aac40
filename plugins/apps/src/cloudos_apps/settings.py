"""Settings of the apps plugin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cloudos_sdk import PluginSettings
from pydantic import Field, IPvAnyAddress, PlainSerializer

Address = Annotated[IPvAnyAddress, PlainSerializer(str)]


class AppsSettings(PluginSettings):
    """`[plugins.apps]`."""

    docker_host: str = Field(
        default_factory=lambda: os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
        description="Where the Docker Engine listens",
    )
    bind_address: Address = Field(default="127.0.0.1", validate_default=True, description="Address of the apps' ports")
    first_port: int = Field(default=20000, ge=1024, le=65000, description="Where the search for a free port begins")
    data_folder: Path | None = Field(
        default=None, description="Folder whose paths a template may use freely; `files` in the plugin's own by default"
    )
    pull_timeout: float = Field(default=3600.0, gt=0, description="Seconds that the pull of an image may take")
    health_timeout: float = Field(default=300.0, gt=0, description="Seconds that an app has to become healthy")
    settle_seconds: float = Field(default=2.0, ge=0, description="Seconds to run before an app without a check is well")
    stop_seconds: int = Field(default=10, ge=1, le=600, description="Seconds that an app has to stop by itself")
    min_free_mb: int = Field(default=512, ge=0, description="Free space below which nothing is installed, in MB")
    template_sources_allow_private: bool = Field(
        default=False, description="Fetch catalogues of templates from loopback and private addresses too"
    )
