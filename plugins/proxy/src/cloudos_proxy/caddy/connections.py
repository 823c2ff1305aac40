"""Finds and ends connections that were accepted by another process of ours."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Collection

from cloudos_sdk.addresses import parse_address

from cloudos_proxy.caddy.open_visits import Peer
from cloudos_proxy.caddy.sockets import copy_socket

_NOT_NOW = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def is_passing(error: OSError) -> bool:
    """Return whether an error is temporary: no descriptors or memory at the moment."""
    return error.errno in _NOT_NOW


def can_end_connections() -> bool:
    """Return whether the kernel allows copying another process's sockets; some sandboxes do not."""
    with contextlib.ExitStack() as stack:
        try:
            pidfd = os.pidfd_open(os.getpid())
            stack.callback(os.close, pidfd)
            ours = stack.enter_context(socket.socket())
            stack.enter_context(copy_socket(pidfd, ours.fileno()))
        except OSError:
            return False
    return True


def taken_connections(pid: int, ports: Collection[int]) -> dict[Peer, int]:
    """Return a process's TCP connections that came to these ports: their numbers by the other end. Blocks."""
    return dict(_connections(pid, ports))


def _connections(pid: int, ports: Collection[int] | None) -> list[tuple[Peer, int]]:
    import psutil

    found: list[tuple[Peer, int]] = []
    with contextlib.suppress(psutil.Error):
        for each in psutil.Process(pid).net_connections("tcp"):
            if not each.raddr or (ports is not None and each.laddr.port not in ports):
                continue
            if (address := parse_address(each.raddr.ip)) is not None:
                found.append(((address, each.raddr.port), each.fd))
    return found


def shut_down(pidfd: int, pid: int, peers: Collection[Peer], ports: Collection[int] | None) -> None:
    """End the connections with these peers, for both sides: those that came to these ports, or any.

    Blocks. Raises OSError where the kernel forbids it.
    """
    for peer, number in _connections(pid, ports):
        if peer not in peers:
            continue
        try:
            theirs = copy_socket(pidfd, number)
        except OSError as error:
            if is_passing(error) or isinstance(error, PermissionError):
                raise
            continue  # closed meanwhile
        with theirs, contextlib.suppress(OSError):
            address, port = theirs.getpeername()[:2]
            if (parse_address(address), port) == peer:  # its number may be another connection's by now
                theirs.shutdown(socket.SHUT_RDWR)
