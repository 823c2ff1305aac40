"""Containers as data: specifications sent to the engine, and states that it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

APP, SERVICE, GENERATION, NODE = "cloudos.app", "cloudos.service", "cloudos.generation", "cloudos.node"


@dataclass(frozen=True)
class ContainerSpec:
    """A container to make.

    `ports` are (container port, protocol, address, host port), `binds` (source, path, `ro` or `rw`); `secret_files`
    are sources of binds that are written before the container is made, with what is in them.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    network: str
    alias: str
    other_aliases: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    ports: Sequence[tuple[int, str, str, int]] = ()
    binds: Sequence[tuple[str, str, str]] = ()
    healthcheck: Mapping[str, Any] | None = None
    memory_mb: int | None = None
    memory_reservation_mb: int | None = None
    cpus: float | None = None
    user: str | None = None
    privileged: bool = False
    host_network: bool = False
    devices: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    processes: int = 2048
    secret_files: Mapping[str, str] = field(default_factory=dict, repr=False)
    restart: str = "unless-stopped"
    restart_retries: int | None = None
    shm_size_mb: int | None = None


@dataclass(frozen=True)
class ContainerState:
    """A container as it is: `status` of the engine (created, running, exited, …), `health` or None without a check."""

    id: str
    name: str
    app: str
    service: str
    generation: int
    status: str
    exit_code: int = 0
    health: str | None = None
    restarts: int = 0
