"""Outgoing connections to user-supplied URLs: addresses are checked at the moment of connecting.

A name is looked up again for each connection, so that what was checked before says nothing about what it stands for
now (DNS rebinding). Needs aiohttp: the extra `outbound`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PLATFORM = (  # numbers that look public, by which the machines of some clouds reach their metadata
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("192.0.0.0/24"),
)
_METADATA = (  # those among the numbers of private networks
    ipaddress.ip_network("100.100.100.200/32"),
    ipaddress.ip_network("fd00:ec2::/32"),
    ipaddress.ip_network("fd20:ce::254/128"),
)
_LOOK_UP = 3.0


class AddressRefused(OSError):
    """The address is not one of the internet."""


def is_public(address: str) -> bool:
    """Return whether an address is public, looking through IPv6 forms that embed an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and not any(ip in network for network in _PLATFORM)
    inner = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
    if inner is not None:
        return is_public(str(inner))
    return ip in _UNICAST and ip.is_global and (ip.sixtofour is None or is_public(str(ip.sixtofour)))


def is_metadata(address: str) -> bool:
    """Return whether an address is link-local or a cloud metadata service.

    For what may go to private networks: nobody means these.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        last = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        inner = ip.ipv4_mapped or ip.sixtofour or (last if ip in _NAT64 else None)
        if inner is not None:
            return is_metadata(str(inner))
    return ip.is_link_local or any(ip in network for network in (*_PLATFORM, *_METADATA))


def check_url(url: str) -> None:
    """Raise ValueError with a message if a text is not a URL that can be connected to."""
    from yarl import URL

    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and url.isprintable() and " " not in url and bool(URL(url).host)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("it must be an http or https URL")


def guarded_connector(
    *, allow_private: bool, resolver: AbstractResolver | None = None, **options: Any
) -> aiohttp.TCPConnector:
    """Return a connector for an aiohttp session that connects to public addresses only, unless `allow_private`.

    `options` are those of `aiohttp.TCPConnector`. `refusal` finds in an error of the session what was refused.
    """
    import aiohttp

    def open_socket(address: Any) -> socket.socket:
        family, kind, protocol, _, where = address
        if not allow_private and not is_public(where[0]):
            raise AddressRefused(f"{where[0]} is an address of a private network")
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(socket_factory=open_socket, resolver=resolver, **options)


def refusal(error: BaseException) -> AddressRefused | None:
    """Return the address that the connector refused if that caused `error`, else None."""
    cause: BaseException | None = error
    seen = set()
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, AddressRefused):
            return cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__ or getattr(cause, "os_error", None)
    return None


async def private_address(url: str, resolver: AbstractResolver | None = None) -> str | None:
    """Return an address of a URL's host that the connector would refuse; None also if the name does not resolve.

    For an early word to who enters a URL; the connector decides.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        return None if is_public(host) else host
    except ValueError:
        pass  # a name
    try:
        async with asyncio.timeout(_LOOK_UP):
            if resolver is not None:
                found = [entry["host"] for entry in await resolver.resolve(host, port, socket.AF_UNSPEC)]
            else:
                infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found = [str(info[4][0]) for info in infos]
    except Exception:  # noqa: BLE001 - whatever the look-up raises: the name may be there later
        return None
    return next((address for address in found if not is_public(address)), None)
