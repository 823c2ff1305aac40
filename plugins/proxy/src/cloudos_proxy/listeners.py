"""The web ports: opened here and passed to Caddy, so that neither a reload nor its death closes them."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

BACKLOG = 1024


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port; `pid` is None where it is not shown to us."""

    port: int
    pid: int | None
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else self.name


class PortUnavailable(Exception):
    """A port cannot be opened; the message names it, who holds it and what mends it."""

    def __init__(self, port: int, code: str, message: str, holders: Iterable[Holder] = ()) -> None:
        super().__init__(message)
        self.port = port
        self.code = code
        self.holders = tuple(holders)


@dataclass(frozen=True)
class Wanted:
    """A listening socket to open: `name` is its place in Caddy's document."""

    name: str
    address: str
    port: int
    udp: bool = False


@dataclass
class OpenSockets:
    """The sockets that are open, by name."""

    sockets: dict[str, socket.socket] = field(default_factory=dict)

    def close(self) -> None:
        """Close them all."""
        for opened in self.sockets.values():
            opened.close()
        self.sockets.clear()

    def filenos(self) -> dict[str, int]:
        """Return their numbers."""
        return {name: opened.fileno() for name, opened in self.sockets.items()}


def open_sockets(wanted: Iterable[Wanted]) -> OpenSockets:
    """Open all or none. Raises PortUnavailable. Blocks for some ms where a port is in use."""
    opened = OpenSockets()
    try:
        for one in wanted:
            opened.sockets[one.name] = _open(one)
    except BaseException:
        opened.close()
        raise
    return opened


def _open(one: Wanted) -> socket.socket:
    try:
        return _bind(one)
    except OSError as error:
        raise _unavailable(one, error) from None


def _bind(one: Wanted) -> socket.socket:
    kind = socket.SOCK_DGRAM if one.udp else socket.SOCK_STREAM
    if one.address or not socket.has_dualstack_ipv6():
        address = one.address or "0.0.0.0"  # noqa: S104 - the web ports are for everybody, unless set otherwise
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    else:
        address = "::"
        made = socket.socket(socket.AF_INET6, kind)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        if not one.udp:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # a connection is handed over with its first bytes: a reload cuts those that were taken and said nothing yet
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        made.bind((address, one.port))
        if not one.udp:
            made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _unavailable(one: Wanted, error: OSError) -> PortUnavailable:
    protocol = "UDP port" if one.udp else "port"
    if error.errno == errno.EADDRINUSE:
        holders = port_holders([one.port], udp=one.udp)
        by = " and ".join(str(holder) for holder in holders) or "another program"
        message = (
            f"{protocol.capitalize()} {one.port} is held by {by}. Stop it (POST /api/settings/proxy/takeover does),"
            " or stand behind it: see GET /api/settings/proxy/coexist-snippet."
        )
        return PortUnavailable(one.port, "port_in_use", message, holders)
    if error.errno in (errno.EACCES, errno.EPERM):
        message = (
            f"{protocol.capitalize()} {one.port} needs root or the capability CAP_NET_BIND_SERVICE. Allow it for every"
            f" user by `sysctl net.ipv4.ip_unprivileged_port_start={one.port}`, or choose ports from 1024 on"
            " (CLOUDOS_PROXY__HTTP_PORT, CLOUDOS_PROXY__HTTPS_PORT)."
        )
        return PortUnavailable(one.port, "port_not_permitted", message)
    where = f"{one.address} " if one.address else ""
    return PortUnavailable(
        one.port, "port_unavailable", f"{protocol.capitalize()} {where}{one.port} cannot be opened: {error.strerror}."
    )


def port_holders(ports: Iterable[int], *, udp: bool = False) -> list[Holder]:
    """Return who listens on these ports, each process once. Blocks; give it a thread."""
    import psutil

    wanted = set(ports)
    found: dict[tuple[int, int | None], Holder] = {}
    for connection in psutil.net_connections("udp" if udp else "tcp"):
        listening = udp or connection.status == psutil.CONN_LISTEN
        if not listening or not connection.laddr or connection.laddr.port not in wanted:
            continue
        name = "another program"
        if connection.pid:
            with contextlib.suppress(psutil.Error):
                name = psutil.Process(connection.pid).name()
        key = (connection.laddr.port, connection.pid)
        found.setdefault(key, Holder(connection.laddr.port, connection.pid, name))
    return sorted(found.values(), key=lambda holder: (holder.port, holder.pid or 0))
