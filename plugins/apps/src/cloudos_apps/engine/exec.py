"""Programs run in a container, with a file as what they print or read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PIECE = 1 << 18
_MOST_SAID = 2000


def print_to_file(client: Any, container: str, command: Sequence[str], path: str) -> tuple[int, str]:
    """Run a program whose output becomes the file `path`; return its exit code and the end of what it complained of."""
    run = client.exec_create(container, list(command), stdout=True, stderr=True)["Id"]
    said = b""
    with Path(path).open("wb") as file:
        for printed, complaint in client.exec_start(run, stream=True, demux=True):
            if printed:
                file.write(printed)
            if complaint:
                said = (said + complaint)[-_MOST_SAID:]
    return _exit_code(client, run), said.decode(errors="replace").strip()


def read_from_file(client: Any, container: str, command: Sequence[str], path: str) -> tuple[int, str]:
    """Run a program that reads the file `path` as its input; return its exit code and the end of what it said."""
    from docker.utils.socket import frames_iter

    run = client.exec_create(container, list(command), stdin=True, stdout=True, stderr=True)["Id"]
    connection = client.exec_start(run, socket=True)
    raw = getattr(connection, "_sock", connection)
    said = b""
    with contextlib.closing(connection):
        raw.settimeout(None)
        sender = threading.Thread(target=_send, args=(raw, path), name="exec-input", daemon=True)
        sender.start()
        for _, piece in frames_iter(connection, tty=False):
            said = (said + piece)[-_MOST_SAID:]
        sender.join()
    return _exit_code(client, run), said.decode(errors="replace").strip()


def _send(raw: Any, path: str) -> None:
    import socket

    with contextlib.suppress(OSError), Path(path).open("rb") as file:  # a program that has ended reads no more
        while piece := file.read(_PIECE):
            raw.sendall(piece)
        raw.shutdown(socket.SHUT_WR)


def _exit_code(client: Any, run: str) -> int:
    code = client.exec_inspect(run)["ExitCode"]
    return -1 if code is None else int(code)
