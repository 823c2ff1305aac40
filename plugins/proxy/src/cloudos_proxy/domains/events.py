"""Events of domains, certificates and web ports."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class DomainAdded(Event, type="domain.added", audience="domains:read"):
    """A domain was added."""

    domain: str
    app_id: str | None


@dataclass(frozen=True, kw_only=True)
class DomainChanged(Event, type="domain.changed", audience="domains:read"):
    """A domain's app or certificate was changed."""

    domain: str
    app_id: str | None


@dataclass(frozen=True, kw_only=True)
class DomainRemoved(Event, type="domain.removed", audience="domains:read"):
    """A domain was removed."""

    domain: str


@dataclass(frozen=True, kw_only=True)
class CertificateIssued(Event, type="certificate.issued", audience="domains:read"):
    """A domain has a new certificate."""

    domain: str
    issuer: str
    not_after: str


@dataclass(frozen=True, kw_only=True)
class CertificateFailed(Event, type="certificate.failed", audience="domains:read"):
    """A certificate of a domain or route could not be obtained; `reason` is a code, `details` the remedy."""

    domain: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PortsTaken(Event, type="web-ports.taken", audience="web-ports:read"):
    """Another web server was stopped for the web ports."""

    stopped: list[str]


@dataclass(frozen=True, kw_only=True)
class PortsReleased(Event, type="web-ports.released", audience="web-ports:read"):
    """A web server that was stopped for the web ports was started again."""

    started: list[str]


DOMAIN_EVENTS = (
    DomainAdded,
    DomainChanged,
    DomainRemoved,
    CertificateIssued,
    CertificateFailed,
    PortsTaken,
    PortsReleased,
)
