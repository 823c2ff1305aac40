"""Checks of Host and Origin against DNS rebinding.

A page whose name was made to lead to this machine sends that name as Host, and its own origin. So a Host is a
loopback name, an address (no name can be rebound to lead to it) or a name that was configured; an Origin is that
same Host, a loopback one, or one that was configured. Who sends no Origin is no web page.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit


class OriginCheck:
    """Checks Host and Origin headers."""

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self.allows = lru_cache(maxsize=256)(self._allows)

    def _allows(self, host: str, origin: str | None) -> str | None:
        """Return the wrong header, `host` or `origin`, or None."""
        name = _name(f"//{host}")
        if name is None or not (self._ours(name) or host.lower() in self._hosts):
            return "host"
        if origin is None or origin.lower().rstrip("/") in self._origins:
            return None
        if origin.lower().partition("://")[2] == host.lower():
            return None
        from_ = _name(origin)
        return None if from_ is not None and _loopback(from_) else "origin"

    def _ours(self, name: str) -> bool:
        return _loopback(name) or _is_address(name) or name in self._hosts


def _name(url: str) -> str | None:
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return None
    return name.lower() if name else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback
