"""Internal DNS names by which Caddy dials manual upstreams; the node's name server resolves them.

They end in `.invalid` (RFC 6761, 6.4), so no other server knows them, and say the port too: what an address is refused
for depends on it.
"""

from __future__ import annotations

import re

from cloudos_proxy.upstreams.policy import is_fixed

_TAIL = "upstream.cloudos.invalid."
_NAME = re.compile(rf"(?P<host>.+)\.(?P<port>\d{{1,5}})\.{re.escape(_TAIL)}")


def dial_name(addr: str) -> str | None:
    """Return the name that Caddy dials for `addr`; None if `addr` is a fixed address."""
    host, _, port = canonical(addr).rpartition(":")
    return None if is_fixed(host.strip("[]")) else f"{host}.{port}.{_TAIL}:{port}"


def canonical(addr: str) -> str:
    """Return `host:port` as it is compared: in lower case, without the dot at the end of a name."""
    host, _, port = addr.lower().rpartition(":")
    return f"{host.rstrip('.')}:{port}"


def addr_of(name: str) -> str | None:
    """Return the `host:port` of an internal name; None for other names."""
    found = _NAME.fullmatch(name.lower())
    return f"{found['host']}:{found['port']}" if found is not None else None
