"""The access log: a line for each request, whatever the request says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudos_sdk.lines import one_line
from hypercorn.logging import AccessLogAtoms, Logger


class OneLineAtoms(AccessLogAtoms):
    """The parts of an access log line, escaped: paths are decoded, and headers may have any byte but NUL."""

    def __getitem__(self, key: str) -> Any:
        """Return a part with line ends escaped."""
        value = super().__getitem__(key)
        return one_line(value) if isinstance(value, str) else value


class AccessLogger(Logger):
    """Hypercorn's logger, whose lines no request begins or ends."""

    def atoms(self, request: Any, response: Any, request_time: float) -> Mapping[str, str]:
        """Return the parts of a line."""
        return OneLineAtoms(request, response, request_time)
