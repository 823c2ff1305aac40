"""The Unix socket in the data folder on which the host serves its API beside its port."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

_PATH_LIMIT = 107  # bytes of a socket's path on Linux, unix(7)


class ApiSocket:
    """A listening Unix socket of mode 0600; `path` is None while it is closed."""

    def __init__(self) -> None:
        self.path: Path | None = None

    def open(self, path: Path, log: Any) -> socket.socket | None:
        """Bind the socket, replacing one of an earlier host; None with a log line if that fails."""
        if len(bytes(path)) > _PATH_LIMIT:
            log.warning("the API has no Unix socket: the path of the data folder is too long", path=str(path))
            return None
        listening = socket.socket(socket.AF_UNIX)
        try:
            path.unlink(missing_ok=True)
            listening.bind(str(path))
            path.chmod(0o600)
        except OSError as error:  # a full disk takes no file more; the API is served on its port all the same
            listening.close()
            log.warning("the API has no Unix socket", path=str(path), reason=str(error))
            return None
        listening.setblocking(False)
        self.path = path
        return listening

    def close(self) -> None:
        """Remove it."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None
