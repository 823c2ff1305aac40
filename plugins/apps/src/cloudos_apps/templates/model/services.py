"""The parts of a template that become containers."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
"""A name of ours: a template, a service, a port, a volume."""

_ENVIRONMENT_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}")
_IMAGE = re.compile(
    r"(?:(?:[a-z0-9.-]+(?::\d+)?|\[[0-9a-f:]+\](?::\d+)?)/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class Part(BaseModel):
    """Base of everything in a template: frozen, and an unknown member is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Port(Part):
    """A port that a container listens on; `host` None lets any free port of the machine lead there."""

    name: Name
    container: int = Field(ge=1, le=65535)
    protocol: Literal["tcp", "udp"] = "tcp"
    host: int | None = Field(default=None, ge=1, le=65535)
    description: str = ""
    address: str | None = Field(default=None, pattern=r"^(?:127\.[\d.]+|::1)$")
    """Where alone it is reached on the machine; None is what the node is set to."""


class Volume(Part):
    """A place in a container that outlives it: a named volume, or a path of the machine (`host_path`)."""

    name: Name | None = None
    path: str
    host_path: str | None = None
    read_only: bool = False
    backup: bool | None = None
    """Whether backups have it; None is yes for a named volume and no for a path of the machine."""

    @property
    def kept(self) -> bool:
        """Whether it is data of the app, which a backup must have."""
        return self.name is not None if self.backup is None else self.backup

    @field_validator("path", "host_path")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith("/") or ".." in value.split("/") or "\0" in value:
            raise ValueError("must be an absolute path without '..'")
        return posixpath.normpath(value).replace("//", "/")

    @field_validator("path")
    @classmethod
    def _without_colon(cls, value: str, info: ValidationInfo) -> str:
        """Raise ValueError for a colon, which the engine takes for the end of the path."""
        if ":" in value and not (info.context or {}).get("stored"):
            raise ValueError("must not hold a colon")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Volume:
        if (self.name is None) == (self.host_path is None):
            raise ValueError("needs either a name or a host_path")
        if self.path == "/":
            raise ValueError("cannot take the place of the container's root")
        return self


class HealthCheck(Part):
    """A command run in the container: `("CMD", …)` or `("CMD-SHELL", "…")`; times in seconds.

    `("NONE",)` runs none, not even the image's; `()` runs the image's at these times.
    """

    test: tuple[str, ...]
    interval_s: float = Field(default=15, ge=0.001, le=86_400)
    timeout_s: float = Field(default=5, ge=0.001, le=86_400)
    retries: int = Field(default=5, ge=1, le=1000)
    start_period_s: float = Field(default=30, ge=0, le=86_400)

    @field_validator("test")
    @classmethod
    def _known_kind(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and value != ("NONE",) and (value[0] not in ("CMD", "CMD-SHELL") or len(value) < 2):
            raise ValueError("begins with CMD or CMD-SHELL, with a command behind it, or is NONE")
        return value


class Dump(Part):
    """How a service copies its data while it runs: `command` prints them, `restore` reads them into empty volumes.

    Both run in its container. The dump stands for `volumes`, or for all named ones of the service.
    """

    file: Name
    command: tuple[str, ...] = Field(min_length=1)
    restore: tuple[str, ...] = Field(min_length=1)
    volumes: tuple[Name, ...] = ()


class Service(Part):
    """One container of an app. Texts may hold variables, see `substitute`."""

    name: Name
    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    healthcheck: HealthCheck | None = None
    memory_mb: int | None = Field(default=None, ge=6, le=16_777_216)
    memory_reservation_mb: int | None = Field(default=None, ge=6, le=16_777_216)
    cpus: float | None = Field(default=None, gt=0, le=1024)
    depends_on: tuple[Name, ...] = ()
    aliases: tuple[str, ...] = Field(default=(), max_length=20)
    user: str | None = None
    privileged: bool = False
    network_mode: Literal["host"] | None = None
    devices: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    pids_limit: int = Field(default=2048, ge=16, le=65_536)
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "unless-stopped"
    restart_retries: int | None = Field(default=None, ge=0, le=1000)
    one_shot: bool = False
    """It does its work and ends: those that depend on it start once it ended with 0."""
    shm_size_mb: int | None = Field(default=None, ge=1, le=1_048_576)
    dump: Dump | None = None

    @field_validator("image")
    @classmethod
    def _reference(cls, value: str) -> str:
        match = _IMAGE.fullmatch(value) if len(value) <= 255 else None
        if match is None:
            raise ValueError("is no image reference")
        if not (match["tag"] or match["digest"]):
            raise ValueError("needs a tag or a digest")
        return value

    @field_validator("environment")
    @classmethod
    def _environment(cls, value: dict[str, str]) -> dict[str, str]:
        for key, text in value.items():
            if not _ENVIRONMENT_KEY.fullmatch(key):
                raise ValueError(f"{key!r} is no name of a variable")
            if "\0" in text:
                raise ValueError(f"{key} holds a NUL character")
        return value

    @model_validator(mode="after")
    def _distinct_places(self) -> Service:
        places = [volume.path for volume in self.volumes]
        if len(set(places)) != len(places):
            raise ValueError("two volumes have the same path")
        targets = [(port.container, port.protocol) for port in self.ports]
        if len(set(targets)) != len(targets):
            raise ValueError("two ports lead to the same container port")
        return self

    @model_validator(mode="after")
    def _dumps_its_own(self) -> Service:
        if self.dump is not None and not set(self.dump.volumes) <= {volume.name for volume in self.volumes}:
            raise ValueError("a dump stands for volumes of its own service")
        return self

    @model_validator(mode="after")
    def _ends(self) -> Service:
        if self.one_shot and self.restart not in ("no", "on-failure"):
            raise ValueError("a service that is to end has the restart no or on-failure")
        if self.restart_retries is not None and self.restart != "on-failure":
            raise ValueError("restart_retries belong to the restart on-failure")
        return self

    @property
    def pinned(self) -> bool:
        """Return whether the image has a digest or a tag other than `latest`."""
        match = _IMAGE.fullmatch(self.image)
        return match is not None and bool(match["digest"] or match["tag"] != "latest")
