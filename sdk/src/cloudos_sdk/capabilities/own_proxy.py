"""The node's own web server in front of its API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class OwnProxy(Protocol):
    """Identifies requests that came through the node's own Caddy, and their client address."""

    def visitor(self, header: Callable[[str], str | None]) -> str | None:
        """Return the visitor's address, canonical; None for a request that did not come by it.

        `header` gives a header of the request. Called for each request, before anybody is known: microseconds, and
        no difference in time between one wrong word and another.
        """
        ...
