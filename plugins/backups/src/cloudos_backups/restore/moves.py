"""Folders put in the place of others by renames, which happen or do not; what was there is kept until all is well."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from cloudos_sdk import Conflict


@dataclass(frozen=True)
class Move:
    """`new` is put in the place of `path`; what was there is kept as `kept`. All are names in one folder."""

    name: str
    path: str
    new: str
    kept: str


def planned(restore_id: str, name: str, path: str) -> Move:
    """Return the move for a folder. Raises Conflict where it is none that can be renamed."""
    place = Path(path)
    if place.is_symlink():
        raise Conflict(
            "path_is_link", f"{path} is a link, which a restore would not follow; restore the app beside it."
        )
    if os.path.ismount(path):
        raise Conflict(
            "path_is_mount", f"A disk is mounted at {path}, so that it cannot be replaced; restore the app beside it."
        )
    if not place.parent.is_dir():
        raise Conflict("path_missing", f"{place.parent} is not there; make it, or mount its disk, and try again.")
    hidden = f".cloudos-{restore_id}-{place.name}"
    return Move(name, path, str(place.parent / f"{hidden}.new"), str(place.parent / f"{hidden}.kept"))


def swap(move: Move) -> None:
    """Put the new folder in place."""
    if os.path.lexists(move.path):
        os.rename(move.path, move.kept)  # noqa: PTH104 - a rename and no move
    os.rename(move.new, move.path)  # noqa: PTH104 - likewise


def put_back(move: Move) -> None:
    """Put back what was there before, from whatever step of a swap."""
    if os.path.lexists(move.kept):
        remove(move.new)
        if os.path.lexists(move.path):
            os.rename(move.path, move.new)  # noqa: PTH104 - likewise
        os.rename(move.kept, move.path)  # noqa: PTH104 - likewise
    remove(move.new)


def empty_like(move: Move) -> None:
    """Make an empty folder that is open to whom the one in its place is."""
    remove(move.new)
    Path(move.new).mkdir(mode=0o755)
    try:
        about = Path(move.path).stat()
    except FileNotFoundError:
        return
    os.chown(move.new, about.st_uid, about.st_gid)
    Path(move.new).chmod(about.st_mode & 0o7777)


def remove(path: str) -> None:
    """Remove a folder or file, following no link; it may be gone already."""
    place = Path(path)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def packed(moves: Sequence[Move]) -> str:
    """Return moves as a row keeps them."""
    return orjson.dumps([asdict(move) for move in moves]).decode()


def unpacked(text: str) -> list[Move]:
    """Return the moves that a row keeps."""
    return [Move(**found) for found in orjson.loads(text)]
