"""Client addresses: parsing, canonical form, and the share that limits count by."""

from __future__ import annotations

import ipaddress
import re

_HOST_AND_PORT = re.compile(r"\[([0-9A-Fa-f:.%\w]+)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}", re.ASCII)
_V6_SHARE = 64


def parse_address(text: str | None) -> str | None:
    """Return an IP address in canonical form, or None if `text` is not an address.

    A port, brackets and the zone of a link-local address are left out, as `X-Forwarded-For` and `Forwarded`
    (RFC 7239, 6) may carry them; an IPv4 address mapped into IPv6 is the IPv4 address.
    """
    if not text or len(text) > 80:
        return None
    text = text.strip().strip('"')
    framed = _HOST_AND_PORT.fullmatch(text)
    if framed is not None:
        text = framed[1] or framed[2]
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip)


def address_share(address: str) -> str:
    """Return the key that limits and lock-outs count by: the IPv4 address, or the /64 network of an IPv6 address.

    A subscriber is given at least a /64 (RFC 6177), so that 2^64 addresses are one visitor. A text that is no
    address counts as itself.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((ip, _V6_SHARE), strict=False))
