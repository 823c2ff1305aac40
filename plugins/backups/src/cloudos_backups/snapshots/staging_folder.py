"""The folder in which we put our own files of a part before its snapshot is made."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER, NODE_FOLDER = "stage", "node"


def fresh(folder: Path) -> Path:
    """Return an empty folder of mode 0700 in the place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def sweep(data_folder: Path) -> None:
    """Remove what a host that was killed left."""
    for name in (FOLDER, NODE_FOLDER):
        shutil.rmtree(data_folder / name, ignore_errors=True)


def remove(folder: Path) -> None:
    """Remove a folder with all in it."""
    shutil.rmtree(folder, ignore_errors=True)


def put(path: Path, content: bytes) -> None:
    """Write a file of mode 0600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def copy(source: Path, target: Path) -> None:
    """Copy a folder of small files that may not be there."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
