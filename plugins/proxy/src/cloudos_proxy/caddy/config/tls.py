"""The TLS part of Caddy's document, for domains and certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudos_proxy.caddy.config.site import Site

INSTALL_NOTHING = {"certificate_authorities": {"local": {"install_trust": False}}}


@dataclass(frozen=True)
class TlsParts:
    """`app` is the document's `apps.tls`, `pki` its `apps.pki`; `sites` come beside the routes.

    The hostnames of `plain` are served without TLS.
    """

    app: Mapping[str, Any] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()
    connection_policies: Sequence[Mapping[str, Any]] = ({},)
    sites: tuple[Site, ...] = ()
    pki: Mapping[str, Any] = field(default_factory=lambda: INSTALL_NOTHING)


@dataclass(frozen=True)
class WantedCertificate:
    """A hostname that is to have a certificate from `provider`: `internal`, or `acme` by one challenge or any."""

    hostname: str
    provider: str
    challenge: str | None = None


@dataclass(frozen=True)
class Uploaded:
    """A certificate chain and its key, both PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Acme:
    """The ACME server, and the DNS provider of DNS-01."""

    directory: str
    email: str | None = None
    root: str | None = None
    dns_provider: Mapping[str, str] | None = None


def tls_app(wanted: Sequence[WantedCertificate], uploaded: Sequence[Uploaded], acme: Acme) -> dict[str, Any]:
    """Return the document's `apps.tls`: one policy for each kind of certificate, and the names to obtain them for."""
    kinds: dict[tuple[str, str | None], list[str]] = {}
    for each in wanted:
        kinds.setdefault((each.provider, each.challenge), []).append(each.hostname)
    policies = [
        {"subjects": sorted(names), "issuers": [_issuer(provider, challenge, acme)]}
        for (provider, challenge), names in sorted(kinds.items(), key=lambda kind: (kind[0][0], kind[0][1] or ""))
    ]
    app: dict[str, Any] = {}
    certificates: dict[str, Any] = {}
    if policies:
        app["automation"] = {"policies": policies}
        certificates["automate"] = sorted({each.hostname for each in wanted})
    if uploaded:
        certificates["load_pem"] = [{"certificate": each.certificate, "key": each.key} for each in uploaded]
    if certificates:
        app["certificates"] = certificates
    return app


def _issuer(provider: str, challenge: str | None, acme: Acme) -> dict[str, Any]:
    if provider == "internal":
        return {"module": "internal"}
    issuer: dict[str, Any] = {"module": "acme", "ca": acme.directory}
    if acme.email:
        issuer["email"] = acme.email
    if acme.root:
        issuer["trusted_roots_pem_files"] = [acme.root]
    if challenge == "http-01":
        issuer["challenges"] = {"tls-alpn": {"disabled": True}}
    elif challenge == "tls-alpn-01":
        issuer["challenges"] = {"http": {"disabled": True}}
    elif challenge == "dns-01":
        issuer["challenges"] = {"dns": {"provider": dict(acme.dns_provider or {})}}
    return issuer
