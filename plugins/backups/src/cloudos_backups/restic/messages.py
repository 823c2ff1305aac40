"""What restic says in JSON, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

SHORT = 8
"""Letters of a snapshot's short id, by which we know it."""


@dataclass(frozen=True)
class Status:
    """How far a run is."""

    fraction: float
    files: int
    bytes: int
    total_files: int
    total_bytes: int


@dataclass(frozen=True)
class Made:
    """A snapshot that was made; `unread` are the files that could not be read."""

    snapshot: str
    files: int
    bytes: int
    added: int
    unread: Sequence[str] = ()


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in a repository."""

    id: str
    time: datetime
    host: str
    paths: Sequence[str]
    tags: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Node:
    """A file, folder or other thing in a snapshot; `type` is restic's (file, dir, symlink, …)."""

    path: str
    name: str
    type: str
    size: int
    mode: int
    mtime: str

    @property
    def changed_at(self) -> float:
        """Return its time in seconds since 1970."""
        try:
            return moment(self.mtime).timestamp()
        except ValueError:
            return 0.0


def status_of(found: Mapping[str, Any]) -> Status:
    """Read a `status` message."""
    return Status(
        float(found.get("percent_done", 0.0)),
        int(found.get("files_done", found.get("files_restored", 0))),
        int(found.get("bytes_done", found.get("bytes_restored", 0))),
        int(found.get("total_files", 0)),
        int(found.get("total_bytes", 0)),
    )


def made_of(found: Mapping[str, Any], unread: Sequence[str]) -> Made:
    """Read the `summary` message of a backup."""
    return Made(
        str(found["snapshot_id"])[:SHORT],
        int(found.get("total_files_processed", 0)),
        int(found.get("total_bytes_processed", 0)),
        int(found.get("data_added", 0)),
        tuple(unread),
    )


def snapshot_of(found: Mapping[str, Any]) -> Snapshot:
    """Read one entry of `snapshots`."""
    return Snapshot(
        str(found["short_id"]),
        moment(found["time"]),
        str(found.get("hostname", "")),
        tuple(found.get("paths") or ()),
        tuple(found.get("tags") or ()),
    )


def node_of(found: Mapping[str, Any]) -> Node:
    """Read one line of `ls`."""
    return Node(
        str(found["path"]),
        str(found["name"]),
        str(found["type"]),
        int(found.get("size", 0)),
        int(found.get("mode", 0)),
        str(found.get("mtime", "")),
    )


def moment(text: str) -> datetime:
    """Read a time of Go, which has up to nine digits behind the point."""
    head, point, rest = text.partition(".")
    if not point:
        return datetime.fromisoformat(text)
    digits = rest[: next((i for i, letter in enumerate(rest) if not letter.isdigit()), len(rest))]
    return datetime.fromisoformat(f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}")


def read_line(line: bytes) -> Mapping[str, Any] | None:
    """Return the object that a line of output is; None for a line of text."""
    if not line.startswith(b"{"):
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
