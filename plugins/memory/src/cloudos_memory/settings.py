"""Settings of the memory plugin: one section for each concern."""

from __future__ import annotations

from typing import Literal

from cloudos_sdk import PluginSettings
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


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
    max_sessions_per_user: int = Field(default=500, ge=1, description="MCP sessions of one user at a time")
    max_sessions_per_key: int = Field(default=250, ge=1, description="MCP sessions of one key at a time")
    session_idle_seconds: float = Field(default=1800, gt=0, description="Seconds without a request that end a session")
    events_kept: int = Field(default=200, ge=1, description="Messages kept for each session that resumes a stream")
    bytes_kept: int = Field(default=1024 * 1024, ge=1024, description="Bytes kept for each session that resumes")


class EmbeddingSettings(_Section):
    """The section `[plugins.memory.embedding]`."""

    backend: Literal["onnx", "ollama", "openai", "off"] = Field(
        default="onnx",
        description="What embeds: the model in this process, a server of Ollama's or OpenAI's API, nothing",
    )
    url: str = Field(
        default="", description="Address of the server, e.g. http://127.0.0.1:11434", pattern=r"^(https?://[^\s]+)?$"
    )
    model: str = Field(default="", max_length=200, description="Model of the server, e.g. nomic-embed-text")
    api_key: SecretStr | None = Field(default=None, description="Bearer that the server wants, if it wants one")
    timeout_seconds: float = Field(default=60, gt=0, description="Seconds that the server has for one batch")
    query_milliseconds: float = Field(
        default=150, gt=0, description="Time that a search gives the embedding of its query before it goes on without"
    )

    @model_validator(mode="after")
    def _complete(self) -> EmbeddingSettings:
        if self.backend in ("ollama", "openai") and not (self.url and self.model):
            raise ValueError(f"embedding by {self.backend} needs `url` and `model`")
        return self


class MemorySettings(PluginSettings):
    """The section `[plugins.memory]`."""

    keys: KeySettings = KeySettings()
    server: ServerSettings = ServerSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
