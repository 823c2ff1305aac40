"""Settings of the memory plugin: one section for each concern."""

from __future__ import annotations

from cloudos_sdk import PluginSettings
from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeySettings(_Section):
    """The section `[plugins.memory.keys]`."""

    bcrypt_cost: int = Field(default=12, ge=4, le=16, description="Work factor of the hashes of MCP keys on disk")
    max_per_user: int = Field(default=100, ge=1, le=10_000, description="MCP keys that one user may have at a time")


class ServerSettings(_Section):
    """The section `[plugins.memory.server]`."""

    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host names, beside loopback and IP addresses, by which MCP clients may call this node"
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="Origins of web pages, such as https://chat.example.com, that may call the MCP server"
    )
    max_body: int = Field(default=1024 * 1024, ge=16 * 1024, description="Largest MCP message, in bytes")
    max_sessions: int = Field(default=1000, ge=1, description="MCP sessions at a time")
    max_sessions_per_key: int = Field(default=250, ge=1, description="MCP sessions of one key at a time")
    session_idle_seconds: float = Field(default=1800, gt=0, description="Seconds without a request that end a session")
    events_kept: int = Field(default=200, ge=1, description="Messages kept for each session that resumes a stream")
    bytes_kept: int = Field(default=1024 * 1024, ge=1024, description="Bytes kept for each session that resumes")


class MemorySettings(PluginSettings):
    """The section `[plugins.memory]`."""

    keys: KeySettings = KeySettings()
    server: ServerSettings = ServerSettings()
