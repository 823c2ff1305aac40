"""The heads of requests: measured before h11 reads them, which takes long for one of many small fields."""

from __future__ import annotations

import re

import h11
import orjson
from h11._receivebuffer import ReceiveBuffer

MOST_BYTES = 16 * 1024
MOST_FIELDS = 100
_END = re.compile(rb"\n\r?\n")
_OTHER_LINES = 2  # the first, which says what is asked, and the empty one at the end


class HeadTooLarge(Exception):
    """A request head or trailer has too many bytes or fields."""


class HeadBuffer(ReceiveBuffer):
    """The receive buffer of h11 with limits that also hold for heads that arrive in one piece."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines of a head that is complete, and None as long as it is not. Raises HeadTooLarge."""
        data = self._data
        end = _END.search(data, self._multiple_lines_search, MOST_BYTES)
        if end is None and len(data) > MOST_BYTES:
            raise HeadTooLarge
        lines = data.count(b"\n", 0, end.end() if end else len(data))
        if lines > MOST_FIELDS + _OTHER_LINES:
            raise HeadTooLarge
        return super().maybe_extract_lines()


def measure_heads(connection: h11.Connection) -> None:
    """Have a new connection of h11's measure heads; h11 has no setting for it."""
    connection._receive_buffer = HeadBuffer()


def refusal() -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers and the body of the answer to a head that is too large."""
    message = (
        f"The head of a request has at most {MOST_BYTES // 1024} KiB and {MOST_FIELDS} fields;"
        " send fewer or shorter headers, cookies or query parameters."
    )
    body = orjson.dumps({"error": "head_too_large", "message": message})
    length = str(len(body)).encode()
    return [(b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close")], body
