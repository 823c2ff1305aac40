"""Addresses that no channel may use: link-local and cloud metadata services.

Channels may lead to private networks, but what answers there would hand out the keys of the machine. It is judged at
the moment of connecting, for every library that sends, since a name may stand for something else by then.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from cloudos_sdk.outbound import AddressRefused, is_metadata

_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


def refuse_them() -> None:
    """Have this process connect to none of them from now on; that cannot be taken back."""
    sys.addaudithook(_judge)


def _judge(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS:
        return
    address = arguments[1]
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return  # a socket of this machine, or one that is connected
    for found in _numbers(address[0]):
        refuse(found)


def refuse(host: str) -> None:
    """Raise AddressRefused if a host is a forbidden address; names are checked when connecting."""
    try:
        refused = is_metadata(host)
    except ValueError:
        return
    if refused:
        raise AddressRefused(f"no message goes to {host}, link-local or metadata")


def _numbers(host: str) -> list[str]:
    """Return the addresses of a host."""
    try:
        is_metadata(host)
    except ValueError:
        try:
            return [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
        except OSError:
            return []
    return [host]
