"""Private files and folders: modes 0600 and 0700, also for those that existed with wider modes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

MASK = 0o077
"""What others may not, as `umask` takes it."""

_OURS = ("host.key", "cloudos.db", "lock", "boot.json")


def make_data_folder(folder: Path, log: Any) -> None:
    """Make the data folder private, with the files in it; log the reason if a mode cannot be narrowed."""
    wide = private_folder(folder)
    if wide is not None:
        log.warning("others may look into the data folder", folder=str(folder), reason=wide)
    else:
        private_files(folder)


def private_folder(folder: Path) -> str | None:
    """Make a folder of mode 0700 or narrow an existing one; return the reason if it stays wider, else None.

    One that holds other things and none of a node's stays as it is: it may be shared, or a slip in the settings.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = folder.stat()
    if not about.st_mode & MASK:
        return None
    if not any((folder / name).exists() for name in _OURS) and any(folder.iterdir()):
        return "it holds what is not the node's"
    return _narrow(folder, about)


def private_files(folder: Path) -> None:
    """Narrow the modes of the files directly in a folder, e.g. of an earlier version or a restored copy."""
    for path in folder.iterdir():
        about = path.lstat()
        if about.st_mode & MASK and (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            _narrow(path, about)


def make_private(path: Path) -> None:
    """Make an empty file of mode 0600 for a program to write, or narrow an existing one."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    _narrow(path, path.stat())


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 atomically, replacing an existing one."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _narrow(path: Path, about: os.stat_result) -> str | None:
    if not about.st_mode & MASK:
        return None
    try:
        path.chmod(stat.S_IMODE(about.st_mode) & ~MASK)
    except OSError as error:
        return f"it is another user's ({error.strerror})"
    return None
