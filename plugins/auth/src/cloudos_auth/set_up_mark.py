"""A mark in the data folder that the node was set up, so that an emptied database does not reopen the set-up."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class SetUpMark:
    """A file in the plugin's folder, put there with the first admin and never taken away."""

    def __init__(self, folder: Path, log: Any) -> None:
        self._path = folder / "set-up"
        self._log = log

    def put(self) -> None:
        """Note that the node is set up."""
        try:
            self._path.touch(mode=0o600)
        except OSError as error:  # a full disk: it is noted at the next start
            self._log.warning("that the node is set up cannot be noted", file=str(self._path), reason=str(error))

    def is_there(self) -> bool:
        """Return whether the node was set up."""
        return self._path.exists()
