"""The web ports: opened here and passed to Caddy, so that neither a reload nor its death closes them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cloudos_proxy.caddy.reuseport import PLACES, steer

BACKLOG = 1024
_PIDFD_GETFD = 438  # pidfd_getfd(2), on every processor


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port; `pid` is None if the system hides it."""

    port: int
    pid: int | None
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else self.name


class PortUnavailable(Exception):
    """A port cannot be opened; the message names the port, its holder and the remedy."""

    def __init__(self, port: int, code: str, message: str, holders: Iterable[Holder] = ()) -> None:
        super().__init__(message)
        self.port = port
        self.code = code
        self.holders = tuple(holders)


@dataclass(frozen=True)
class WantedSocket:
    """A listening socket to open: `name` is its place in Caddy's document."""

    name: str
    address: str
    port: int
    udp: bool = False


@dataclass
class OpenSockets:
    """The sockets that are open, by name: of a TCP port a whole ring, of a UDP port one."""

    rings: dict[str, list[socket.socket]] = field(default_factory=dict)
    place: int = 0
    """The place in the rings at which newcomers arrive."""

    def close(self) -> None:
        """Close them all."""
        for ring in self.rings.values():
            for opened in ring:
                opened.close()
        self.rings.clear()

    def filenos(self) -> dict[str, list[int]]:
        """Return their numbers, in the order of their places."""
        return {name: [opened.fileno() for opened in ring] for name, ring in self.rings.items()}

    def steer(self, place: int) -> None:
        """Send newcomers at all TCP ports to the sockets at `place` of their rings."""
        for ring in self.rings.values():
            if len(ring) > 1:
                steer(ring, place)
        self.place = place


def open_sockets(wanted: Iterable[WantedSocket]) -> OpenSockets:
    """Open all sockets or none. Raises PortUnavailable. Blocks for some ms if a port is in use."""
    opened = OpenSockets()
    try:
        for one in wanted:
            opened.rings[one.name] = _open(one)
    except BaseException:
        opened.close()
        raise
    return opened


def copy_socket(pidfd: int, number: int) -> socket.socket:
    """Return a copy of one socket of another process. Raises OSError if the kernel does not allow it."""
    libc = ctypes.CDLL(None, use_errno=True)
    ours = libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
    if ours < 0:
        raise OSError(ctypes.get_errno(), "the sockets of another process cannot be had")
    return socket.socket(fileno=ours)


def copy_sockets(pidfd: int, numbers: Mapping[str, Sequence[int]]) -> OpenSockets:
    """Return copies of the sockets of another process. Raises OSError if the kernel does not allow it."""
    copied = OpenSockets()
    try:
        for name, ring in numbers.items():
            copied.rings[name] = []
            for number in ring:
                copied.rings[name].append(copy_socket(pidfd, number))
    except BaseException:
        copied.close()
        raise
    return copied


def _open(one: WantedSocket) -> list[socket.socket]:
    try:
        # the first is bound as if it were alone: so a port in use is an error, whatever its holder allows
        ring = [_bind(one)]
        try:
            if not one.udp:
                ring[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                ring += [_bind(one, shared=True) for _ in range(PLACES - 1)]
                for opened in ring:
                    opened.listen(BACKLOG)
                steer(ring, 0)
        except BaseException:
            for opened in ring:
                opened.close()
            raise
    except OSError as error:
        raise _unavailable(one, error) from None
    return ring


def _bind(one: WantedSocket, *, shared: bool = False) -> socket.socket:
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
            if shared:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # a connection is handed over with its first bytes, and read at once
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        made.bind((address, one.port))
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _unavailable(one: WantedSocket, error: OSError) -> PortUnavailable:
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
    """Return the processes that listen on these ports, each once. Blocks; call it in a thread."""
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
