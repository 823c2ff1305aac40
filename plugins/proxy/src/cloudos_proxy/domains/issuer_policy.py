"""Which certificate a domain is to have: obtained by ACME, of Caddy's own CA, uploaded, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from cloudos_sdk import Context, InvalidRequest, NotImplementedHere

from cloudos_proxy.certificates.x509 import WITHOUT_CERTIFICATE, WITHOUT_ERROR, BadCertificate, check_pair, told
from cloudos_proxy.models import Domain
from cloudos_proxy.settings import ProxySettings

CERTIFICATE = ("auto_ssl", "issuer", "challenge", "certificate", "private_key")
"""The members of a body that say it."""


class IssuerPolicy:
    """Chooses the issuer of a domain and turns a request body into columns."""

    def __init__(self, ctx: Context, modules: Callable[[], Awaitable[Collection[str]]]) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._modules = modules

    async def columns(self, hostname: str, given: dict[str, Any], row: Domain | None = None) -> dict[str, Any]:
        """Return the columns; omitted fields are those of `row`. Raises InvalidRequest, NotImplementedHere."""
        wanted = {**({"auto_ssl": True} if row is None else self._now(row)), **given}
        certificate, key = wanted.get("certificate"), wanted.get("private_key")
        obtained = given.get("auto_ssl") is not None or given.get("issuer") is not None
        if obtained and given.get("certificate") is not None and given.get("auto_ssl") is not False:
            raise InvalidRequest.field("auto_ssl", "leave it out, or upload no certificate")
        if not (obtained and given.get("certificate") is None) and (certificate is not None or key is not None):
            return await self._uploaded(hostname, certificate, key)
        empty = {"certificate": None, "private_key": None, **WITHOUT_CERTIFICATE, **WITHOUT_ERROR}
        if wanted.get("auto_ssl") is False:
            return {"provider": "none", "challenge": None, **empty}
        issuer = wanted.get("issuer") or "acme"
        challenge = wanted.get("challenge") if issuer == "acme" else None
        if issuer == "acme":
            await self._check_challenge(hostname, challenge)
        return {"provider": issuer, "challenge": challenge, **empty}

    def _now(self, row: Domain) -> dict[str, Any]:
        """Return the request body that would make the current certificate settings."""
        if row.provider == "uploaded":
            key = self._ctx.secrets.decrypt(row.private_key or "")
            return {"certificate": row.certificate, "private_key": key}
        issuer = row.provider if row.provider != "none" else None
        return {"auto_ssl": row.provider != "none", "issuer": issuer, "challenge": row.challenge}

    async def _uploaded(self, hostname: str, certificate: str | None, key: str | None) -> dict[str, Any]:
        if certificate is None or key is None:
            missing = "certificate" if certificate is None else "private_key"
            raise InvalidRequest.field(missing, "is missing; a certificate comes with its key")
        try:
            found = await asyncio.to_thread(check_pair, certificate, key, hostname, self._ctx.clock.now())
        except BadCertificate as error:
            raise InvalidRequest.field(error.field, str(error)) from None
        sealed = self._ctx.secrets.encrypt(key)
        values = {"provider": "uploaded", "challenge": None, "certificate": certificate, "private_key": sealed}
        return {**values, **told(found), **WITHOUT_ERROR}

    async def _check_challenge(self, hostname: str, challenge: str | None) -> None:
        if hostname.startswith("*.") and challenge != "dns-01":
            raise InvalidRequest.field(
                "challenge", "a wildcard needs dns-01, an uploaded certificate or issuer internal"
            )
        if challenge != "dns-01":
            return
        provider = self._settings.acme_dns_provider
        if provider is None or "name" not in provider:
            raise NotImplementedHere(
                "dns_provider_missing",
                "No DNS provider is set: CLOUDOS_PROXY__ACME_DNS_PROVIDER names it and its keys.",
            )
        module = f"dns.providers.{provider['name']}"
        if module not in await self._modules():
            raise NotImplementedHere(
                "caddy_module_missing",
                f"This Caddy has no module {module}. Build one that has it (xcaddy), and set"
                " CLOUDOS_PROXY__CADDY_PROGRAM to it.",
                module=module,
            )
