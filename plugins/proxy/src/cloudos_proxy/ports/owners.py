"""The owners of the web ports: program, unit or container, and how to stop and start them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from cloudos_proxy.caddy.sockets import port_holders

How = Literal["unit", "process", "container", "unknown"]
_UNIT = re.compile(r"/([^/]+\.service)(?:/|$)")
_CONTAINER = re.compile(r"(?:docker|libpod|cri-containerd)[-/]([0-9a-f]{12})[0-9a-f]*")
_TITLE = re.compile(r"[\w.-]+: master process (.+)")


@dataclass(frozen=True)
class PortOwner:
    """A program that holds ports; `unit` if systemd runs it, `container` if a container engine does."""

    pid: int | None
    name: str
    ports: tuple[int, ...]
    how: How
    unit: str | None = None
    container: str | None = None

    @property
    def label(self) -> str:
        """Name it for a person."""
        return self.unit or (f"container {self.container}" if self.container else f"{self.name} (pid {self.pid})")

    def shown(self) -> dict[str, Any]:
        """Return the owner as the API shows it."""
        return {**asdict(self), "ports": list(self.ports)}


@dataclass(frozen=True)
class OwnerProgram:
    """How a process was started, so that it can be started again. There may be secrets in its environment."""

    argv: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    user: int
    group: int

    def dump(self) -> str:
        """Return it as JSON."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def load(cls, text: str) -> OwnerProgram:
        """Parse what `dump` returned."""
        found = orjson.loads(text)
        return cls(**{**found, "argv": tuple(found["argv"])})


def occupants(tcp: Collection[int], udp: Collection[int], ours: Collection[int]) -> list[PortOwner]:
    """Return the programs that hold any of these ports, except the processes of `ours`. Blocks."""
    held: dict[int | None, set[int]] = {}
    for holder in [*port_holders(tcp), *(port_holders(udp, udp=True) if udp else [])]:
        if holder.pid not in ours:
            held.setdefault(_first(holder.pid, ours), set()).add(holder.port)
    return [
        _occupant(pid, tuple(sorted(ports))) for pid, ports in sorted(held.items(), key=lambda entry: entry[0] or 0)
    ]


def program_of(pid: int) -> OwnerProgram:
    """Return how a process was started. Raises psutil.Error. Blocks."""
    import psutil

    process = psutil.Process(pid)
    argv, exe = process.cmdline(), process.exe()
    titled = _TITLE.fullmatch(" ".join(argv).strip())
    if titled is not None:  # it writes a title where its arguments and its environment stood
        argv = shlex.split(titled[1])
    argv = [exe or argv[0], *argv[1:]]
    environment = {"PATH": os.environ.get("PATH", os.defpath), **process.environ()}
    return OwnerProgram(tuple(argv), process.cwd(), environment, process.uids().real, process.gids().real)


def _first(pid: int | None, ours: Collection[int]) -> int | None:
    """Return the first process of a program; ending it ends the others."""
    import psutil

    if pid is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        while (parent := process.parent()) is not None and parent.pid not in (1, *ours):
            if _exe(parent) != _exe(process):
                break
            process = parent
        return int(process.pid)
    return pid


def _exe(process: Any) -> str:
    import psutil

    try:
        return str(process.exe() or process.name())
    except psutil.Error:
        return str(process.pid)


def _occupant(pid: int | None, ports: tuple[int, ...]) -> PortOwner:
    import psutil

    if pid is None:
        return PortOwner(None, "another program", ports, "unknown")
    try:
        process = psutil.Process(pid)
        name, arguments = process.name(), process.cmdline()
    except psutil.Error:
        return PortOwner(pid, "another program", ports, "unknown")
    if name == "docker-proxy":
        address = arguments[arguments.index("-container-ip") + 1] if "-container-ip" in arguments else "unknown"
        return PortOwner(pid, name, ports, "container", container=f"at {address}")
    groups = _groups(pid)
    inside = _CONTAINER.search(groups)
    if inside is not None:
        return PortOwner(pid, name, ports, "container", container=inside[1])
    unit = _unit(groups)
    return PortOwner(pid, name, ports, "unit" if unit else "process", unit=unit)


def _groups(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


def _unit(groups: str) -> str | None:
    """Return the systemd unit of a process; None for processes of a user session."""
    if not Path("/run/systemd/system").is_dir() or "/user.slice/" in groups:
        return None
    found: Iterable[str] = _UNIT.findall(groups)
    return next(iter(found), None)
