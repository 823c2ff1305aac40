"""Real filesystems of the machine, each once however often it is mounted (proc(5), mountinfo)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REAL = frozenset({"ext4", "xfs", "btrfs", "zfs", "f2fs", "vfat"})
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class MountedFilesystem:
    """A mounted filesystem: `number` is its major:minor, `root` the folder of it that is mounted."""

    number: str
    root: str
    mount_point: str
    fs_type: str
    device: str


@dataclass(frozen=True)
class Usage:
    """The space of a filesystem in bytes; `free` is available to programs."""

    total: int
    used: int
    free: int

    @property
    def percent(self) -> float:
        """Return the used share as df counts it, without space reserved for root."""
        usable = self.used + self.free
        return round(self.used / usable * 100, 1) if usable else 0.0


def parse_mounts(lines: Iterable[str]) -> list[MountedFilesystem]:
    """Return the real filesystems of a mountinfo, each at the mount that shows most of it, in order of path."""
    visible: dict[str, MountedFilesystem] = {}  # what is mounted over something else hides it
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields, about = before.split(), after.split()
        if separator and len(fields) >= 6 and len(about) >= 2:
            point = _plain(fields[4])
            visible[point] = MountedFilesystem(fields[2], _plain(fields[3]), point, about[0], _plain(about[1]))
    best: dict[str, MountedFilesystem] = {}
    for mount in visible.values():
        known = best.get(mount.number)
        if mount.fs_type in REAL and (known is None or _rank(mount) < _rank(known)):
            best[mount.number] = mount
    return sorted(best.values(), key=lambda mount: mount.mount_point)


def real_mounts() -> list[MountedFilesystem]:
    """Return the real filesystems that are mounted now."""
    return parse_mounts(_MOUNTS.read_text(errors="surrogateescape").splitlines())


def usage_of(path: str) -> Usage:
    """Return the space of the filesystem that holds `path`. Raises OSError."""
    found = os.statvfs(path)
    size = found.f_frsize
    return Usage(found.f_blocks * size, (found.f_blocks - found.f_bfree) * size, found.f_bavail * size)


def _rank(mount: MountedFilesystem) -> tuple[bool, int, str]:
    """Order mounts of one filesystem: the whole of it before a folder of it, then the shortest path."""
    return mount.root != "/", len(mount.mount_point), mount.mount_point


def _plain(text: str) -> str:
    """Decode octal escapes; invalid UTF-8 becomes a replacement character."""
    raw = _OCTAL.sub(lambda found: chr(int(found[1], 8)), text).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace")
