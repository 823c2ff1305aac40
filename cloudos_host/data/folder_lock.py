"""The lock on a file: one host at a time uses what it stands for."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def lock_folder(folder: Path) -> int | None:
    """Lock a data folder and return the handle that holds it until it is closed; None where another has it."""
    return lock_file(folder / "lock")


def lock_file(path: Path) -> int | None:
    """Lock a file and return the handle that holds it until it is closed; None where another has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
