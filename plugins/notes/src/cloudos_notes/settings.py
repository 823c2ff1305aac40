"""Settings of the notes plugin."""

from __future__ import annotations

from cloudos_sdk import PluginSettings
from pydantic import Field


class NotesSettings(PluginSettings):
    """`[plugins.notes]`."""

    max_note_kb: int = Field(default=1024, ge=1, le=16384, description="Largest content of a note, in KB")
    trash_days: int = Field(default=30, ge=1, description="Days that a note stays in the trash")
    idempotency_days: int = Field(default=30, ge=1, description="Days that an idempotency key is remembered")
    max_import_mb: int = Field(default=64, ge=1, le=2048, description="Largest archive to import, in MB")
    max_import_notes: int = Field(default=50_000, ge=1, description="Most notes of an archive to import")
    max_unpacked_mb: int = Field(default=512, ge=1, description="Most that an archive may unpack to, in MB")
