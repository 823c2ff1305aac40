"""Monitors the certificates of domains: checks DNS before an ACME order, and records the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from cloudos_sdk import CloudOSError, Context, iso

from cloudos_proxy.certificates.acme_errors import AcmeFailure, explain, from_dns
from cloudos_proxy.certificates.caddy_log import CertificateLog, CertificateOutcome
from cloudos_proxy.certificates.dns_check import DnsReport, check
from cloudos_proxy.certificates.x509 import WITHOUT_ERROR, Certificate, stored_certificate, told
from cloudos_proxy.domains.events import CertificateFailed, CertificateIssued
from cloudos_proxy.domains.route_certificates import RouteCertificates
from cloudos_proxy.domains.store import DomainStore
from cloudos_proxy.domains.tls_config import DomainTlsConfig
from cloudos_proxy.models import Domain
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.settings import ProxySettings

LOG_SECONDS = 1.0
OBTAINED = ("acme", "internal")


class CertificateMonitor:
    """The follower. Files and DNS are read in two threads of its own."""

    def __init__(
        self,
        ctx: Context,
        store: DomainStore,
        parts: DomainTlsConfig,
        routes: RouteStore,
        refresh: Callable[[str], Awaitable[object]],
    ) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._store = store
        self._parts = parts
        self._refresh = refresh
        self._log = CertificateLog(ctx.data_dir / "caddy.log")
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="certificates")
        self._due = asyncio.Event()
        self._obtained: frozenset[str] = frozenset()
        self._of_routes = RouteCertificates(ctx, routes, self.dns)

    async def run(self) -> None:
        """Follow until cancelled."""
        look_again = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._take_news()
                if self._due.is_set() or loop.time() >= look_again:
                    self._due.clear()
                    look_again = loop.time() + self._settings.dns_seconds
                    await self._look_at_waiting()
            except Exception as error:  # noqa: BLE001 # a database that is locked now is not so in a second
                self._ctx.log.warning("certificates could not be looked at", error=str(error))
            try:
                async with asyncio.timeout(LOG_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                continue

    def look_now(self) -> None:
        """Check the pending certificates now."""
        self._due.set()

    def needs_no_look(self, hostname: str) -> None:
        """Have a name's certificate obtained whatever DNS says of its address."""
        self._parts.cleared.add(hostname)

    def try_again(self, hostname: str) -> None:
        """Have a name without a certificate looked at as if it were new: Caddy's own tries are hours apart at last."""
        self._parts.cleared.discard(hostname)
        self._obtained -= {hostname}

    async def dns(self, hostname: str) -> DnsReport:
        """Look up a name in DNS."""
        told = [str(address) for address in self._settings.public_addresses]
        report: DnsReport = await self._in_thread(check, hostname, self._settings.dns_resolver, told)
        return report

    async def look_at_storage(self, row: Domain) -> Certificate | None:
        """Note the certificate that Caddy has for a domain, and return it."""
        if row.provider not in OBTAINED:
            return None
        found: Certificate | None = await self._in_thread(_stored, self._ctx.data_dir / "caddy", row)
        if found is not None and found.serial != row.serial:
            await self._note(row, found)
        return found

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _take_news(self) -> None:
        news: dict[str, CertificateOutcome] = await self._in_thread(self._log.news)
        if not news:
            return
        for row in await self._store.all():
            outcome = news.pop(row.hostname, None)
            if outcome is None or row.provider not in OBTAINED:
                continue
            if outcome.error is None:
                await self.look_at_storage(row)
            elif outcome.time > row.updated_at:
                report = await self.dns(row.hostname) if row.provider == "acme" else None
                ports = (self._settings.http_port, self._settings.https_port)
                await self._fail(row, explain(outcome.error, report, ports), outcome.time)
        for outcome in news.values():
            await self._of_routes.tell(outcome)

    async def _look_at_waiting(self) -> None:
        """Look at domains without a certificate: at storage, then at DNS; have Caddy ask for those that lead here."""
        if self._settings.mode == "coexist":
            return
        rows = [row for row in await self._store.all() if row.provider in OBTAINED and row.serial is None]
        await asyncio.gather(*(self._look_at(row) for row in rows))
        gone = self._parts.cleared - {row.hostname for row in rows}
        self._parts.cleared -= gone
        await self._apply(frozenset(self._parts.cleared))

    async def _look_at(self, row: Domain) -> None:
        if await self.look_at_storage(row) is not None or row.provider != "acme" or row.challenge == "dns-01":
            self._parts.cleared.add(row.hostname)
            return
        report = await self.dns(row.hostname)
        if report.points_here is False:
            self._parts.cleared.discard(row.hostname)
            await self._fail(row, from_dns(report), self._ctx.clock.now())
        elif row.hostname not in self._parts.cleared:
            self._parts.cleared.add(row.hostname)
            if row.error_code in ("dns_elsewhere", "dns_missing"):
                await self._store.change(row.id, WITHOUT_ERROR)

    async def _apply(self, cleared: frozenset[str]) -> None:
        """Let Caddy obtain the allowed certificates, without a reload that would interrupt running orders."""
        if cleared == self._obtained:
            return
        try:
            await self._refresh("certificates")
        except CloudOSError as error:
            self._ctx.log.warning("the domains are not served yet", reason=error.message)
        else:
            self._obtained = cleared

    async def _note(self, row: Domain, found: Certificate) -> None:
        event = CertificateIssued(
            resource=row.id,
            details=f"{row.hostname} has a certificate of {found.issuer} until {iso(found.not_after)}",
            domain=row.hostname,
            issuer=found.issuer,
            not_after=iso(found.not_after),
        )
        known = row.serial

        def still(now: Domain) -> bool:
            return now.serial == known and now.hostname == row.hostname and now.provider == row.provider

        # Caddy's own CA renews every few hours, which is no news
        tell = event if known is None or row.provider == "acme" else None
        await self._store.change(row.id, {**told(found), **WITHOUT_ERROR}, tell, only_if=still)

    async def _fail(self, row: Domain, failure: AcmeFailure, time: datetime) -> None:
        if (row.error_code, row.error) == (failure.code, failure.message):
            return
        event = CertificateFailed(resource=row.id, details=failure.message, domain=row.hostname, reason=failure.code)
        values = {"error_code": failure.code, "error": failure.message, "error_at": time}
        tell = event if row.error_code != failure.code else None

        def still(now: Domain) -> bool:
            return now.hostname == row.hostname and now.provider == row.provider

        await self._store.change(row.id, values, tell, only_if=still)

    async def _in_thread(self, fn: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, *arguments)


def _stored(storage: Any, row: Domain) -> Certificate | None:
    return stored_certificate(storage, row.hostname, internal=row.provider == "internal")
