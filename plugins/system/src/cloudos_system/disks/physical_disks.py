"""The machine's physical disks, as the kernel lists them (sysfs)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCKS = Path("/sys/block")
_NO_DISKS = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd|zd)\d|mmcblk\d+(boot|rpmb)")
_VIRTUAL = re.compile(r"(vd|xvd)[a-z]+")


@dataclass(frozen=True)
class PhysicalDisk:
    """A disk: `kind` is nvme, ssd, hdd, sd_card or virtual."""

    name: str
    kind: str
    model: str | None
    size_bytes: int

    @property
    def device(self) -> str:
        """Return its device file."""
        return f"/dev/{self.name}"


def physical_disks(blocks: Path = _BLOCKS) -> list[PhysicalDisk]:
    """Return the physical disks that have a medium, by name; no partitions, loops, arrays or optical drives."""
    disks = []
    for folder in sorted(blocks.iterdir()) if blocks.is_dir() else ():
        size = int(_text(folder / "size") or 0) * 512
        if _NO_DISKS.match(folder.name) or not (folder / "device").exists() or size == 0:
            continue
        if _text(folder / "hidden") == "1":  # a path of a multipath NVMe disk
            continue
        model = _text(folder / "device" / "model") or _text(folder / "device" / "name")
        disks.append(PhysicalDisk(folder.name, _kind(folder), model, size))
    return disks


def _kind(folder: Path) -> str:
    if _VIRTUAL.fullmatch(folder.name):
        return "virtual"
    if folder.name.startswith("nvme"):
        return "nvme"
    if folder.name.startswith("mmcblk"):
        return "sd_card"
    return "hdd" if _text(folder / "queue" / "rotational") == "1" else "ssd"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None
