"""Settings of the backups."""

from __future__ import annotations

from pathlib import Path

from cloudos_sdk import PluginSettings
from pydantic import Field


class BackupsSettings(PluginSettings):
    """`[plugins.backups]`."""

    restic_program: Path | None = Field(default=None, description="restic to run; the one on PATH without it")
    cache_folder: Path | None = Field(
        default=None, description="Folder of restic's cache; `cache` in the plugin's own without it"
    )
    tries: int = Field(default=3, ge=1, le=20, description="Times that a part of a backup is tried")
    retry_seconds: float = Field(default=30.0, ge=0, le=3600, description="Seconds between two tries")
    lock_seconds: float = Field(
        default=600.0, ge=0, description="Seconds to wait for a repository that another machine has locked"
    )
    stall_seconds: float = Field(
        default=1800.0, ge=10, description="Seconds without a sign of life after which restic is ended"
    )
    upload_limit_kib: int = Field(default=0, ge=0, description="KiB a second that are sent at most; 0 is no limit")
    check_percent: int = Field(default=5, ge=1, le=100, description="Share of the data that a check reads, in percent")
    proof_seconds: float = Field(default=3600.0, gt=0, description="Seconds that the proof of one app may take")
    recovery_key_days: int = Field(default=7, ge=1, le=90, description="Days until the recovery key is asked back")
    history_days: int = Field(default=90, ge=1, description="Days that failed backups and ended restores stay listed")
