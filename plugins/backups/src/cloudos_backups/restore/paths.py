"""The files of a backup as people see them: `/<app>/<volume>/…`, and where they are in its snapshots."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from cloudos_sdk import InvalidRequest, NotFound

from cloudos_backups.snapshots.manifest import DUMPS, Part

OWN = "own"
"""By which name the files that we put beside the node's are shown: its database, its sealed key, what plugins offer."""


@dataclass(frozen=True)
class Place:
    """A place in a backup. `path` is that in the snapshot; without it the place is made of `below`, by name."""

    part: Part | None
    path: str | None
    below: Sequence[tuple[str, str]] = ()


def named_folders(part: Part) -> dict[str, str]:
    """Return the folders of a part by the names under which they are shown, with their paths in the snapshot."""
    found = {folder.name: folder.path for folder in part.folders}
    if part.kind == "config":
        found[OWN] = part.staged
    elif part.dumps:
        found[DUMPS] = posixpath.join(part.staged, DUMPS)
    return found


def find(parts: Sequence[Part], shown: str) -> Place:
    """Return the place of a path. Raises InvalidRequest, NotFound."""
    if not shown.startswith("/") or ".." in shown.split("/") or "\0" in shown:
        raise InvalidRequest.field("path", "must be an absolute path without '..'")
    names = [name for name in shown.split("/") if name and name != "."]
    good = [part for part in parts if part.good]
    if not names:
        return Place(None, None, [(part.id, part.name) for part in good])
    part = next((part for part in good if names[0] in (part.id, part.name)), None)
    if part is None:
        raise NotFound("file", shown, message=f"There is no {names[0][:200]!r} in this backup.")
    folders = named_folders(part)
    if len(names) == 1:
        return Place(part, None, [(name, name) for name in folders])
    if names[1] not in folders:
        raise NotFound("file", shown, message=f"There is no {names[1][:200]!r} in the backup of {part.name}.")
    return Place(part, posixpath.join(folders[names[1]], *names[2:]))


def shown_path(part: Part, path: str) -> str:
    """Return the path under which a path of the snapshot is shown."""
    for name, folder in named_folders(part).items():
        if path == folder or path.startswith(folder + "/"):
            return posixpath.join("/", part.id, name, path[len(folder) :].lstrip("/")).rstrip("/")
    return path
