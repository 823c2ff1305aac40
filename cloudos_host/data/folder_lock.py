"""Locks on files: one host at a time uses a data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def lock_folder(folder: Path) -> int | None:
    """Lock a data folder and return the handle that holds the lock until it is closed; None if another holds it."""
    return lock_file(folder / "lock")


def lock_file(path: Path) -> int | None:
    """Lock a file and return the handle that holds the lock until it is closed; None if another holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
