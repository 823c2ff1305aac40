"""ACME errors with remedies for operators (RFC 8555, 6.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudos_proxy.certificates.dns_check import DnsReport

_KIND = re.compile(r"urn:ietf:params:acme:error:(\w+)")
_RETRY = re.compile(r"retry after (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)", re.IGNORECASE)
_SHUT = re.compile(r"refused|timeout|timed out|no route|unreachable|failed to connect|reset by peer", re.IGNORECASE)
_DIRECTORY = re.compile(
    r"(provisioning client|performing request|getting directory|no such host|certificate signed by unknown authority"
    r"|Post \"|Get \"\S+/dir)", re.IGNORECASE
)  # fmt: skip
_LONGEST = 300


@dataclass(frozen=True)
class AcmeFailure:
    """The reason for a missing certificate: code and message."""

    code: str
    message: str


def from_dns(report: DnsReport) -> AcmeFailure:
    """Return the failure of a name that does not lead here."""
    return AcmeFailure("dns_missing" if not report.found else "dns_elsewhere", report.detail)


def explain(error: str, report: DnsReport | None, ports: tuple[int, int]) -> AcmeFailure:
    """Return the meaning of an ACME error; `report` is the name's DNS report."""
    kind = _KIND.search(error)
    name = kind[1] if kind is not None else ""
    said = f" The certificate authority says: {_detail(error)}"
    if name == "rateLimited" or "HTTP 429" in error:
        again = _RETRY.search(error)
        when = f" before {again[1].replace('T', ' ')} UTC" if again else " for a while"
        return AcmeFailure("rate_limited", f"Too many certificates were asked for; there will be none{when}.{said}")
    if name == "caa":
        return AcmeFailure("caa", f"A CAA record of the domain forbids this certificate authority.{said}")
    if name == "dns":
        return AcmeFailure(
            "dns_missing", f"The certificate authority finds no address in DNS. Check its records.{said}"
        )
    if name in ("connection", "unauthorized", "incorrectResponse", "tls"):
        return _unreachable(name, error, report, ports, said)
    if name == "externalAccountRequired":
        return AcmeFailure("account_required", f"The certificate authority wants an account made there first.{said}")
    if name == "" and _DIRECTORY.search(error):
        return AcmeFailure("authority_unreachable", f"The certificate authority cannot be reached: {_detail(error)}")
    return AcmeFailure("authority_refused", f"The certificate authority refused.{said}")


def _unreachable(name: str, error: str, report: DnsReport | None, ports: tuple[int, int], said: str) -> AcmeFailure:
    """Return why the certificate authority could not reach this node under the name."""
    if report is not None and report.error is None and not set(report.found) & set(report.expected):
        return AcmeFailure(from_dns(report).code, f"{report.detail}{said}")
    if name == "connection" or _SHUT.search(error):
        return AcmeFailure(
            "port_shut",
            f"Port {ports[0]} or {ports[1]} of this node cannot be reached from outside. Open it in the firewall, and"
            f" forward it where there is a router.{said}",
        )
    return AcmeFailure("wrong_server", f"Something else than this node answers under this name.{said}")


def _detail(error: str) -> str:
    """Return the authority's own sentence, without the parts that are of no help."""
    _, _, detail = error.partition(" - ")
    text = (detail or error).strip()
    return text[:_LONGEST] + ("…" if len(text) > _LONGEST else "")
