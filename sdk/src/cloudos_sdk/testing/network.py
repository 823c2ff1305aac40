"""Network guard of tests: connections beyond loopback are refused and named."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_INTERNET = (socket.AF_INET, socket.AF_INET6)

_guards = 0
_hooked = False


class OutsideNetwork(RuntimeError):
    """Something under test tried to leave the machine."""


@contextmanager
def loopback_only() -> Iterator[None]:
    """Refuse every connection and look-up that leaves this machine, in all threads, until left.

    Sockets of Python raise `OutsideNetwork` that names the address; other processes, and libraries that open
    sockets in C, are not seen.
    """
    global _guards, _hooked
    if not _hooked:
        sys.addaudithook(_audit)  # for good: Python has no way to remove one
        _hooked = True
    _guards += 1
    try:
        yield
    finally:
        _guards -= 1


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guards or not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        sock, address = arguments
        if sock.family in _INTERNET and isinstance(address, tuple) and not _is_local(address[0]):
            raise _refused(f"connect to {address[0]} port {address[1]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        name = arguments[0]
        if not _is_address(name) and not _is_local(name):
            raise _refused(f"look up {_text(name)}")


def _refused(attempt: str) -> OutsideNetwork:
    return OutsideNetwork(
        f"the code under test tried to {attempt}; tests reach loopback only, so give it a server on 127.0.0.1"
    )


def _text(name: Any) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)


def _is_address(name: Any) -> bool:
    try:
        ipaddress.ip_address(_text(name))
    except ValueError:
        return False
    return True


def _is_local(name: Any) -> bool:
    """Return whether a host name is this machine; an empty name is all of its addresses."""
    if not name:
        return True
    text = _text(name)
    if _is_address(text):
        address = ipaddress.ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None)
        return address.is_loopback or (mapped is not None and mapped.is_loopback)
    return text == "localhost" or text.endswith(".localhost") or text == socket.gethostname()
