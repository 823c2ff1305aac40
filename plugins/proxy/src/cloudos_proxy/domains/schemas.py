"""Bodies and answers of the domain endpoints (reference, "Domains")."""

from __future__ import annotations

from typing import Any, Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body
from pydantic import BaseModel, ConfigDict, Field, SecretStr

Issuer = Literal["acme", "internal"]
Challenge = Literal["http-01", "tls-alpn-01", "dns-01"]
Status = Literal["provisioning", "valid", "expiring_soon", "expired", "failed", "disabled"]


class DomainChange(Body):
    """A change of a domain; omitted fields stay as they are.

    A `certificate` (PEM: the domain's own first, its issuers after it) comes with its `private_key`; `auto_ssl` has one
    obtained by the `issuer`, from an ACME server by one `challenge` or by any that works.
    """

    domain: str | None = Field(default=None, min_length=1, max_length=300)
    app_id: str | None = Field(default=None, max_length=64)
    auto_ssl: bool | None = None
    issuer: Issuer | None = None
    challenge: Challenge | None = None
    certificate: str | None = Field(default=None, max_length=100_000)
    private_key: SecretStr | None = Field(default=None, max_length=50_000)


class NewDomain(DomainChange):
    """A domain to add; with `auto_ssl`, which is the default, it gets a certificate by itself."""

    domain: str = Field(min_length=1, max_length=300)


class SslOut(BaseModel):
    """The state and issuer of a domain's certificate."""

    status: Status
    provider: str | None


class DomainOut(BaseModel):
    """A domain."""

    id: str
    domain: str
    app_id: str | None
    ssl: SslOut
    created_at: UtcTime


class DnsOut(BaseModel):
    """The addresses of a domain in DNS; `points_here` is null if unknown."""

    model_config = ConfigDict(from_attributes=True)

    points_here: bool | None
    found: list[str]
    expected: list[str]
    detail: str


class CertificateOut(SslOut):
    """A domain's certificate; `error` is the last failure with its remedy, `dns` is null if DNS is not involved."""

    issuer: str | None
    not_before: UtcTime | None
    not_after: UtcTime | None
    days_left: int | None
    serial: str | None
    error_code: str | None
    error: str | None
    error_at: UtcTime | None
    dns: DnsOut | None


def given(body: DomainChange) -> dict[str, Any]:
    """Return the members that a body names, with the key's text."""
    found = {name: getattr(body, name) for name in body.model_fields_set}
    if isinstance(found.get("private_key"), SecretStr):
        found["private_key"] = found["private_key"].get_secret_value()
    return found
