"""A disk of the test's own that is quickly full; it is gone after the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a maker of disks: `small_disk("512k")` is the folder where one of that size is mounted."""
    made: list[Path] = []

    def make(size: str) -> Path:
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("no disk of its own for the tests: they need root and leave to mount; run them by sudo")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk of a folder to its last byte; return the file that does it."""
    file = folder / "films"
    with file.open("ab", buffering=0) as films:
        for size in (1 << 16, 1 << 12, 1):
            while True:
                try:
                    if films.write(b"x" * size) < size:
                        break
                except OSError:
                    break
    return file
