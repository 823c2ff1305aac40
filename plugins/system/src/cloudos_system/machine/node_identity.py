"""The node's id: made once, kept in the data folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cloudos_sdk import new_id

_ID = re.compile(r"node_[a-z0-9]{6,64}")


def node_id(folder: Path) -> str:
    """Return the id of this node; it is made at the first call, and whole or not there after a crash."""
    path = folder / "node_id"
    try:
        known = path.read_text().strip()
    except FileNotFoundError:
        known = ""
    if _ID.fullmatch(known):
        return known
    made = new_id("node")
    draft = folder / "node_id.new"
    with draft.open("w") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return made
