"""Reports failed certificates of route names; domains are monitored separately."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cloudos_sdk import Context

from cloudos_proxy.certificates.acme_errors import explain
from cloudos_proxy.certificates.caddy_log import CertificateOutcome
from cloudos_proxy.certificates.dns_check import DnsReport
from cloudos_proxy.domains.events import CertificateFailed
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.settings import ProxySettings


class RouteCertificates:
    """Remembers failures, so that each is reported once and not with every retry of Caddy."""

    def __init__(self, ctx: Context, routes: RouteStore, dns: Callable[[str], Awaitable[DnsReport]]) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._routes = routes
        self._dns = dns
        self._told: dict[str, str] = {}

    async def tell(self, outcome: CertificateOutcome) -> None:
        """Report a failed attempt if it was not reported before."""
        name = outcome.hostname
        row = next((row for row in self._routes.all() if row.hostname == name), None)
        if row is None or outcome.error is None:
            self._told.pop(name, None)
            return
        report = await self._dns(name) if self._settings.route_certificates == "acme" else None
        failure = explain(outcome.error, report, (self._settings.http_port, self._settings.https_port))
        if self._told.get(name) == failure.code:
            return
        event = CertificateFailed(
            resource=row.id, details=f"{name}: {failure.message}", domain=name, reason=failure.code
        )
        await self._ctx.db.write(lambda s: self._ctx.events.emit(s, event))
        self._told[name] = failure.code
