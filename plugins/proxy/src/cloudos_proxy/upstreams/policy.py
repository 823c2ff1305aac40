"""Upstreams that people write down: are they host:port, may Caddy go there, and does anything answer there."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from cloudos_proxy.upstreams.name_lookup import LOOKUPS, Address

_HOST = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)
_METADATA = tuple(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata", "instance-data"})
_LOOPBACK: tuple[Address, ...] = (ipaddress.IPv6Address("::1"), ipaddress.IPv4Address("127.0.0.1"))
_AT_ONCE = 64
_LONGEST_NAME = 200


class BadUpstream(ValueError):
    """It cannot be an upstream; the message says why."""


def split(addr: str) -> tuple[str, int]:
    """Return host and port of `host:port`, `1.2.3.4:80` or `[::1]:80`. Raises BadUpstream."""
    host, colon, port = addr.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise BadUpstream(f"{addr!r} is not host:port, such as localhost:9090")
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), int(port)
        except ValueError:
            raise BadUpstream(f"{addr!r} is not host:port: there is no address {host}") from None
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise BadUpstream(f"{addr!r} is not host:port: {host!r} is neither a name nor an address")
    if host.rpartition(".")[2].isdigit() or host.lower().startswith("0x"):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise BadUpstream(f"{addr!r} is not host:port: there is no address {host}") from None
    return host, int(port)


def is_fixed(host: str) -> bool:
    """Return whether a host is an address or `localhost`, which need no DNS and are dialled directly."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    return True


def is_loopback_name(host: str) -> bool:
    """Return whether a name is `localhost` or below it, which is never looked up (RFC 6761, 6.3)."""
    return f".{host.lower().rstrip('.')}".endswith(".localhost")


def normal(addr: str) -> str:
    """Return `host:port` with a name of loopback in lower case and without a dot at its end."""
    host, _, port = addr.rpartition(":")
    return f"{host.lower().rstrip('.')}:{port}" if is_loopback_name(host) else addr


def join(host: str, port: int) -> str:
    """Return host:port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _compared(host: str, port: int) -> str:
    return join(host.lower().rstrip("."), port)


class UpstreamRules:
    """Forbidden upstreams: the node's own API and ports, link-local and cloud metadata addresses."""

    def __init__(self, allow: Iterable[str]) -> None:
        self._networks = []
        self._addresses = set()
        for text in allow:
            try:
                self._networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                self._addresses.add(_compared(*split(text)))

    async def check(self, addr: str, own: Mapping[int, str], *, seconds: float = 2.0) -> list[Address]:
        """Return the allowed addresses of `addr`. Raises BadUpstream if it may not be an upstream.

        `own` says what this node has on which port. A name that cannot be looked up is let through, with no address:
        Caddy dials none but by an address that was checked when it asked. What it dials by itself is not looked up.
        """
        host, port = split(addr)
        if len(host) > _LONGEST_NAME:
            raise BadUpstream(f"{host[:40]}… is longer than {_LONGEST_NAME} characters")
        if _compared(host, port) in self._addresses:
            return await resolve(host, seconds)
        if host.lower().rstrip(".") in _METADATA_NAMES:
            raise BadUpstream(f"{addr} is the metadata service of a cloud, which no visitor may reach")
        found = await resolve(host, seconds)
        for address in found:
            self._check(addr, address, port, own)
        return found

    def _check(self, addr: str, address: Address, port: int, own: Mapping[int, str]) -> None:
        address = _meant(address)
        if any(address in network for network in self._networks):
            return
        reason = None
        if address in _METADATA:
            reason = "is the metadata service of a cloud, which no visitor may reach"
        elif address.is_link_local:
            reason = "is a link-local address"
        elif address.is_multicast or str(address) == "255.255.255.255":
            reason = "is not the address of one machine"
        elif port in own and (address.is_loopback or address.is_unspecified or address in own_addresses()):
            reason = f"is {own[port]}"
        if reason is not None:
            by = "" if str(address) == split(addr)[0] else f" ({address})"
            raise BadUpstream(f"{addr}{by} {reason}; an admin can allow it by CLOUDOS_PROXY__ALLOW_UPSTREAMS")


def _meant(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 address, or None (RFC 4291, 6052, 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


async def resolve(host: str, seconds: float) -> list[Address]:
    """Return the addresses of a host; empty if the lookup times out."""
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        return list(_LOOPBACK) if is_loopback_name(host) else await LOOKUPS.find(host, seconds)


async def probe(
    addrs: Iterable[str], seconds: float, find: Callable[[str], Awaitable[Sequence[Address]]] | None = None
) -> dict[str, str]:
    """Call each address and hang up; return why, for those that do not answer.

    `find` gives the addresses of a `host:port`, or raises BadUpstream where none of them may be called.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def call(addr: str) -> str | None:
        async with gate:
            host, port = split(addr)
            try:
                async with asyncio.timeout(seconds):
                    addresses = await (find(addr) if find is not None else resolve(host, seconds))
                    if not addresses:
                        return f"{host} cannot be looked up"
                    await _call_any(addresses, port)
            except BadUpstream as error:
                return str(error)
            except TimeoutError:
                return f"{addr} does not answer within {seconds:g} s"
            except OSError as error:
                return f"{addr} does not answer: {error.strerror or error}"
            return None

    unique = list(dict.fromkeys(addrs))
    answers = await asyncio.gather(*(call(addr) for addr in unique))
    return {addr: why for addr, why in zip(unique, answers, strict=True) if why is not None}


async def _call_any(addresses: Sequence[Address], port: int) -> None:
    """Connect to one address after another until one answers; raises the last error."""
    for number, address in enumerate(addresses, 1):
        try:
            _, writer = await asyncio.open_connection(str(address), port)
        except OSError:
            if number == len(addresses):
                raise
        else:
            writer.close()
            return


def own_addresses() -> frozenset[Address]:
    """Return the current addresses of this machine's interfaces."""
    import psutil

    found = set()
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                found.add(ipaddress.ip_address(entry.address.partition("%")[0]))
    return frozenset(found)
