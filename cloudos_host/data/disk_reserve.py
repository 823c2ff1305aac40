"""Room on the disk of the data folder that is kept for a start when all else is full."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from cloudos_sdk import Health

_SIZE = 1024 * 1024  # SQLite opens its files with 32 KiB; the rest is for who signs in to make room
_LOW = 16 * _SIZE


class DiskReserve:
    """A file of one megabyte, deleted when the node starts on a full disk, and made again when there is room."""

    def __init__(self, folder: Path, log: Any) -> None:
        self._folder = folder
        self._path = folder / "reserve"
        self._log = log

    def release(self) -> None:
        """Delete the reserve if the disk is full."""
        free = self._free()
        if free >= _SIZE:
            return
        self._log.error("the disk of the data folder is full; free space on it", folder=str(self._folder), free=free)
        self._path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Make the reserve if there is plenty of room."""
        if self._path.exists() or self._free() < _LOW:
            return
        try:
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                os.posix_fallocate(file.fileno(), 0, _SIZE)
        except OSError as error:  # a filesystem that cannot, or that filled up meanwhile
            self._path.unlink(missing_ok=True)
            self._log.info("no room is kept on the disk of the data folder", reason=str(error))

    def health(self) -> Health:
        """Return whether the disk has room."""
        free = self._free()
        if free >= _LOW:
            return Health(True)
        left = f"{free / _SIZE:.1f} MiB left"
        return Health(False, f"The disk of the data folder ({self._folder}) is nearly full, {left}; free space on it.")

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free
