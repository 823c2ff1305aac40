"""What a snapshot says of itself, so that it can be restored where no database knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

TAG = "cloudos"
MANIFEST, DEFINITION, DUMPS = "manifest.json", "app.sealed", "dumps"
HOST_KEY, SOURCES, DATABASE, FILES = "host.key.sealed", "sources", "database", "files"
_VERSION = 1

PartKind = Literal["app", "config"]
PartStatus = Literal["waiting", "running", "completed", "partial", "failed"]


@dataclass
class FolderOf:
    """A folder of an app in a snapshot: its name, and where it was on the machine."""

    name: str
    path: str
    volume: bool


@dataclass
class Part:
    """One part of a backup: an app, or the node's configuration. `staged` is the folder with our own files of it."""

    kind: PartKind
    id: str
    name: str
    status: PartStatus = "waiting"
    snapshot: str | None = None
    staged: str = ""
    folders: list[FolderOf] = field(default_factory=list)
    dumps: dict[str, list[str]] = field(default_factory=dict)
    """The folders for which each dump stands."""
    bytes: int = 0
    added: int = 0
    files: int = 0
    missing: list[str] = field(default_factory=list)
    error: str | None = None
    made_at: str | None = None

    @property
    def good(self) -> bool:
        """Whether there is something to restore."""
        return self.snapshot is not None

    @property
    def roots(self) -> list[str]:
        """The folders that the snapshot is of."""
        return [self.staged, *(folder.path for folder in self.folders)]


def packed(parts: Sequence[Part]) -> str:
    """Return parts as a row keeps them."""
    return orjson.dumps([asdict(part) for part in parts]).decode()


def unpacked(text: str) -> list[Part]:
    """Return the parts that a row keeps."""
    return [part_of(found) for found in orjson.loads(text)]


def part_of(found: Mapping[str, Any]) -> Part:
    """Return the part that a mapping describes."""
    return Part(**{**found, "folders": [FolderOf(**folder) for folder in found["folders"]]})


def written(part: Part, backup_id: str, node: str, data_folder: str) -> bytes:
    """Return the manifest of a part, before its snapshot is made."""
    about = {"version": _VERSION, "backup": backup_id, "node": node, "data_folder": data_folder}
    return orjson.dumps({**about, "part": asdict(part)}, option=orjson.OPT_INDENT_2)


@dataclass(frozen=True)
class Manifest:
    """What was read of a manifest."""

    backup: str
    node: str
    data_folder: str
    part: Part


def read(text: bytes) -> Manifest:
    """Read a manifest; ValueError for one that a later version wrote."""
    found = orjson.loads(text)
    if found["version"] > _VERSION:
        raise ValueError(f"it was written by a later version of Cloud OS (manifest {found['version']})")
    return Manifest(found["backup"], found["node"], found["data_folder"], part_of(found["part"]))
