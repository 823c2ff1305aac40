"""DNS checks: the addresses of a name, and whether they are this node's."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SECONDS = 4.0


@dataclass(frozen=True)
class DnsReport:
    """The addresses of a name and of this node; `told` if the operator configured the node's."""

    hostname: str
    found: tuple[str, ...]
    expected: tuple[str, ...]
    told: bool
    error: str | None = None

    @property
    def points_here(self) -> bool | None:
        """Return whether the name points here; None if unknown, e.g. behind NAT or a CDN."""
        if self.error is not None:
            return None
        if not self.found:
            return False
        if set(self.found) & set(self.expected):
            return True
        return False if self.told else None

    @property
    def detail(self) -> str:
        """Return the finding and its remedy."""
        here = " and ".join(self.expected) or "not known (set CLOUDOS_PROXY__PUBLIC_ADDRESSES)"
        if self.error is not None:
            return f"DNS did not answer for {self.hostname}: {self.error}."
        if not self.found:
            return f"{self.hostname} has no address in DNS. Add an A record (AAAA for IPv6); this node is {here}."
        other = [address for address in self.found if address not in self.expected]
        if not other:
            return f"{self.hostname} points here, to {' and '.join(self.found)}."
        fix = "change its A or AAAA record" if self.expected else "see that they lead here"
        return f"{self.hostname} points to {' and '.join(other)}, and this node is {here}: {fix}."


def check(hostname: str, resolver: str | None, told: Sequence[str]) -> DnsReport:
    """Ask DNS for a name's addresses. `resolver` is host:port; the machine's own servers without it. Blocks."""
    expected = tuple(told) or _own_addresses()
    try:
        found, error = _addresses(hostname, resolver), None
    except OSError as failure:
        found, error = (), str(failure) or type(failure).__name__
    return DnsReport(hostname, found, expected, bool(told), error)


def _addresses(hostname: str, resolver: str | None) -> tuple[str, ...]:
    """Return the addresses, IPv4 first. Raises OSError if DNS does not answer."""
    import dns.exception
    import dns.resolver

    try:
        asking = _asking(resolver)
        found: list[str] = []
        for kind in ("A", "AAAA"):
            try:
                answer = asking.resolve(f"{hostname}.", kind, lifetime=SECONDS, raise_on_no_answer=False)
            except dns.resolver.NXDOMAIN:
                return ()
            found += [str(record) for record in answer.rrset or ()]
    except (dns.exception.DNSException, RuntimeError) as error:  # RuntimeError: the tests' guard of the network
        raise OSError(str(error)) from None
    return tuple(found)


def _asking(resolver: str | None) -> Any:
    import dns.resolver

    if resolver is None:
        return dns.resolver.Resolver()
    host, _, port = resolver.rpartition(":")
    asking = dns.resolver.Resolver(configure=False)
    asking.nameservers, asking.port = [host.strip("[]")], int(port)
    return asking


def _own_addresses() -> tuple[str, ...]:
    """Return the addresses of this machine that others may reach, public ones first."""
    import psutil

    found = []
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(entry.address.partition("%")[0])
                if not address.is_loopback and not address.is_link_local:
                    found.append(address)
    return tuple(str(address) for address in sorted(found, key=lambda a: (not a.is_global, a.version, a)))
