"""Certificate outcomes in Caddy's log: obtained and failed, with errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

_FIRST_LOOK = 512 * 1024
_DONE = frozenset({"certificate obtained successfully", "certificate renewed successfully"})
_FAILED = "could not get certificate from issuer"


@dataclass(frozen=True)
class CertificateOutcome:
    """The outcome of a certificate order; `error` is None if it was obtained."""

    hostname: str
    time: datetime
    error: str | None


class CertificateLog:
    """Reads the log incrementally, across rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode: int | None = None
        self._offset = 0

    def news(self) -> dict[str, CertificateOutcome]:
        """Return the newest outcome of each hostname since the last look. Blocks."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return {}
        if state.st_ino != self._inode or state.st_size < self._offset:
            first = self._inode is None
            self._inode, self._offset = state.st_ino, max(0, state.st_size - _FIRST_LOOK) if first else 0
        if state.st_size == self._offset:
            return {}
        with self._path.open("rb") as file:
            file.seek(self._offset)
            read = file.read(16 * _FIRST_LOOK)
        whole = read[: read.rfind(b"\n") + 1]
        self._offset += len(whole)
        return outcomes(whole.splitlines())


def outcomes(lines: Iterable[bytes]) -> dict[str, CertificateOutcome]:
    """Return the newest outcome of each hostname in lines of the log."""
    found: dict[str, CertificateOutcome] = {}
    for line in lines:
        if b'"tls.' not in line or b'"identifier"' not in line:
            continue
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        said, hostname = entry.get("msg"), str(entry.get("identifier", ""))
        time = datetime.fromtimestamp(float(entry.get("ts") or 0), UTC)
        if said in _DONE:
            found[hostname] = CertificateOutcome(hostname, time, None)
        elif said == _FAILED:
            found[hostname] = CertificateOutcome(hostname, time, str(entry.get("error", "")))
    return found
