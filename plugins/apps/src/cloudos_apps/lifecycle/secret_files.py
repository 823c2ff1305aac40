"""Secrets that an image takes as files: on this machine's disk, for the engine to mount also when we do not run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path


class SecretFiles:
    """Writes secret files in a folder that only the node's user can enter; container users can read their own.

    A database that gives up root before it reads its password has another user than the node's. An engine that is not
    `local` cannot mount them.
    """

    def __init__(self, folder: Path, *, local: bool) -> None:
        self._folder = folder
        self.local = local

    def path(self, app_id: str, generation: int, name: str) -> Path:
        """Return the path of a secret of one generation of an app."""
        return self._folder / app_id / str(generation) / name

    def write(self, files: Mapping[str, str]) -> None:
        """Write secrets, by path, whole or not at all."""
        for name, content in files.items():
            path = Path(name)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            part.unlink(missing_ok=True)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "w", encoding="utf-8") as file:  # noqa: PTH123 - with its mode
                file.write(content)
                os.fchmod(file.fileno(), 0o444)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    def forget(self, app_id: str, generation: int | None = None) -> None:
        """Remove the secrets of an app, of one generation or all."""
        folder = self._folder / app_id if generation is None else self._folder / app_id / str(generation)
        shutil.rmtree(folder, ignore_errors=True)
