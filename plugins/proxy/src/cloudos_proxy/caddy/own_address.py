"""The address of this node's API, as Caddy reaches it."""

from __future__ import annotations

import asyncio
import socket

DEFAULT = "127.0.0.1:8080"


class OwnAddress:
    """Finds the API's address by the listening ports of this process, unless a setting gives it."""

    def __init__(self, given: str | None) -> None:
        self._given = given
        self._found: str | None = None
        self.not_ours: frozenset[int] = frozenset()
        """Ports that this process opened for Caddy."""

    @property
    def known(self) -> bool:
        """Return whether the address is known, not just the default."""
        return (self._given or self._found) is not None

    @property
    def last(self) -> str:
        """The address as far as it is known; the default before."""
        return self._given or self._found or DEFAULT

    async def get(self) -> str:
        """Return host:port; the default if the API does not listen yet."""
        if self._given is not None:
            return self._given
        if self._found is None:
            self._found = await asyncio.to_thread(self._look)
        return self.last

    def _look(self) -> str | None:
        import psutil

        for connection in psutil.Process().net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port not in self.not_ours:
                return f"{reachable(connection.laddr.ip, connection.family)}:{connection.laddr.port}"
        return None


def reachable(address: str, family: socket.AddressFamily) -> str:
    """Return the address by which this machine reaches a listener on `address`."""
    if address in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{address}]" if family == socket.AF_INET6 else address
