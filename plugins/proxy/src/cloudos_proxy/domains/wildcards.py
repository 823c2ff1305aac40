"""The policy of wildcard routes: allowed if a certificate can be obtained or none is needed."""

from __future__ import annotations

from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.domains.store import DomainStore
from cloudos_proxy.settings import ProxySettings


class WildcardPolicy:
    """Judges wildcard names."""

    def __init__(self, settings: ProxySettings, door: CaddySupervisor, domains: DomainStore) -> None:
        self._settings = settings
        self._door = door
        self._domains = domains

    async def refusal(self, hostname: str) -> str | None:
        """Return why `*.example.com` may have no route, or None."""
        if self._settings.route_certificates != "acme" or await self._has_certificate(hostname):
            return None
        provider = (self._settings.acme_dns_provider or {}).get("name")
        if provider is None:
            return (
                "a wildcard needs the DNS challenge (CLOUDOS_PROXY__ACME_DNS_PROVIDER), or a domain of this name with"
                " an uploaded certificate"
            )
        if f"dns.providers.{provider}" not in await self._door.modules():
            return f"a wildcard needs the DNS challenge, and the Caddy here lacks the module dns.providers.{provider}"
        return None

    async def _has_certificate(self, hostname: str) -> bool:
        return any(row.hostname == hostname and row.provider != "acme" for row in await self._domains.all())
