"""Redirect targets after a sign-in: gated names only."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

_DEFAULT_PORTS = {"http": 80, "https": 443}
# No user information, no backslash, no space, no fragment, nothing beyond ASCII: what one reader takes for a host
# no other reader takes for something else.
_URL = re.compile(r"(https?)://([a-z0-9.-]{1,253})(?::([0-9]{1,5}))?(/[!-\[\]-~]*)?", re.IGNORECASE)
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class RedirectTarget:
    """A place behind the gate: `origin` as `https://name:port`, and the path with its query."""

    host: str
    origin: str
    path: str

    @property
    def url(self) -> str:
        """The whole address."""
        return self.origin + self.path

    @property
    def secure(self) -> bool:
        """Return whether the target uses TLS."""
        return self.origin.startswith("https://")


def target_of(url: str, gated: Callable[[str], bool], ports: Collection[int]) -> RedirectTarget | None:
    """Return the target of a URL; None if it is no gated name or its port is not in `ports`."""
    found = _URL.fullmatch(url) if len(url) <= _LONGEST and "#" not in url else None
    if found is None:
        return None
    scheme, host, port, path = found[1].lower(), found[2].lower(), found[3], found[4] or "/"
    number = int(port) if port else _DEFAULT_PORTS[scheme]
    if number not in (_DEFAULT_PORTS[scheme], *ports) or not gated(host):
        return None
    shown = "" if number == _DEFAULT_PORTS[scheme] else f":{number}"
    return RedirectTarget(host, f"{scheme}://{host}{shown}", path)


def host_of(header: str) -> str:
    """Return the hostname in a `Host` header, lower-case, without its port."""
    name, colon, port = header.strip().lower().rpartition(":")
    return (name if colon and port.isdigit() else header.strip().lower()).rstrip(".")
