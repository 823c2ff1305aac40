"""A container's log as the engine sends it, cut into lines: none longer than a screenful, none that is two."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cloudos_apps.display_text import printable
from cloudos_apps.schemas import LogLine

LONGEST = 16_384
"""Bytes of a line that are shown; of the rest only how many there were."""
MOST_BYTES = 4_000_000
"""Bytes of lines of one container in one answer: the newest."""
_AT_FIRST, _A_SECOND = 10_000, 1_000
"""Lines that a follower gets at once, and in each second after them; the engine keeps the others for it."""

_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) ")


class LineCutter:
    """Cuts pieces into lines at the line feeds. A line in the making takes `LONGEST` bytes at most, however long it is.

    The engine sends long lines in pieces of 16 KB, each with a time before it: those after the first are no text.
    """

    def __init__(self) -> None:
        self._begun = bytearray()
        self._length = 0

    def feed(self, piece: bytes) -> Iterator[tuple[bytes, int]]:
        """Take a piece, and return the lines that end in it, each with the number of its bytes that are left out."""
        if self._length and (stamp := _STAMP.match(piece)):
            piece = piece[stamp.end() :]
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            yield self._line(piece[start:end])
            start = end + 1
        self._keep(piece[start:])

    def rest(self) -> Iterator[tuple[bytes, int]]:
        """Return the line that was begun, if any."""
        if self._length:
            yield self._line(b"")

    def _line(self, last: bytes) -> tuple[bytes, int]:
        self._keep(last)
        line, left_out = bytes(self._begun), self._length - len(self._begun)
        self._begun, self._length = bytearray(), 0
        return line, left_out

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if (room := LONGEST - len(self._begun)) > 0:
            self._begun += part[:room]


def newest(pieces: Iterable[bytes], lines: int) -> list[tuple[bytes, int]]:
    """Return the newest lines of a log that ends, `MOST_BYTES` of them at most."""
    kept: deque[tuple[bytes, int]] = deque()
    size = 0
    for line in _cut(pieces):
        kept.append(line)
        size += len(line[0])
        while len(kept) > lines or size > MOST_BYTES:
            size -= len(kept.popleft()[0])
    return list(kept)


def _cut(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    cutter = LineCutter()
    for piece in pieces:
        yield from cutter.feed(piece)
    yield from cutter.rest()


class Followed:
    """A followed log as lines of a service, parsed in the reading thread, with a limit of lines per second."""

    def __init__(self, source: Any, made: Callable[[bytes, int], bytes]) -> None:
        self._source = source
        self._made = made

    def __iter__(self) -> Iterator[bytes]:
        left, refilled = _AT_FIRST, time.monotonic()
        for line, left_out in _cut(self._source):
            yield self._made(line, left_out)
            left -= 1
            if left <= 0:
                time.sleep(max(0.0, refilled + 1 - time.monotonic()))
                left, refilled = _A_SECOND, time.monotonic()

    def close(self) -> None:
        """End the reading."""
        self._source.close()


def parse_line(service: str, line: bytes, left_out: int = 0, hidden: Sequence[str] = ()) -> LogLine:
    """Split the engine's line into its time and its text, and say how much of it is left out.

    Of the secrets `hidden` stars are shown.
    """
    stamp, _, message = line.decode("utf-8", "replace").partition(" ")
    for secret in hidden:
        message = message.replace(secret, "***")
    message = printable(message.rstrip("\r"))
    if left_out:
        message = f"{message}… ({left_out} more bytes are left out)"
    return LogLine(service=service, timestamp=printable(stamp), message=message)
