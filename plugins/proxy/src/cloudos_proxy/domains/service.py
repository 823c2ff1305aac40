"""Adds, changes and removes domains, and returns the state of their certificates.

A change that began is served, also where whoever asked for it has gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from cloudos_sdk import CloudOSError, Conflict, Context, InvalidRequest, Unavailable, new_id, to_the_end
from cloudos_sdk.capabilities import Apps

from cloudos_proxy.certificates.x509 import WITHOUT_CERTIFICATE, WITHOUT_ERROR
from cloudos_proxy.domains.certificate_monitor import OBTAINED, CertificateMonitor
from cloudos_proxy.domains.events import DomainAdded, DomainChanged, DomainRemoved
from cloudos_proxy.domains.issuer_policy import CERTIFICATE, IssuerPolicy
from cloudos_proxy.domains.schemas import CertificateOut, DnsOut, DomainOut, SslOut
from cloudos_proxy.domains.store import DomainStore
from cloudos_proxy.hostnames import BadHostname, normalise
from cloudos_proxy.models import Domain
from cloudos_proxy.routes.node_names import NodeNames
from cloudos_proxy.settings import ProxySettings

_CHANGEABLE = ("hostname", "app_id", "provider", "challenge", "certificate", "private_key", *WITHOUT_CERTIFICATE)


class DomainService:
    """The domains of this node."""

    def __init__(
        self,
        ctx: Context,
        store: DomainStore,
        watch: CertificateMonitor,
        refresh: Callable[[str], Awaitable[object]],
        choice: IssuerPolicy,
        trouble: Callable[[], str | None],
        names: NodeNames,
    ) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._store = store
        self._watch = watch
        self._refresh = refresh
        self._choice = choice
        self._trouble = trouble
        self._names = names

    async def list_domains(self) -> list[DomainOut]:
        """Return all domains, newest first."""
        return [self.shown(row) for row in await self._store.all()]

    async def add(self, given: dict[str, Any]) -> DomainOut:
        """Add a domain; its certificate and its site come at once, or when DNS leads here. Raises InvalidRequest."""
        now = self._ctx.clock.now()
        hostname = self._own(_hostname(given["domain"]), given.get("app_id"))
        values: dict[str, Any] = {
            "id": new_id("dom"), "hostname": hostname, "app_id": await self._app(given.get("app_id")),
            "created_at": now, "updated_at": now, **await self._choice.columns(hostname, given),
        }  # fmt: skip
        event = DomainAdded(
            resource=values["id"], details=f"Added the domain {hostname}", domain=hostname, app_id=values["app_id"]
        )

        async def undo() -> None:
            await self._store.remove(values["id"], _removed)

        async def work() -> None:
            await self._store.add(values, event)
            if values["challenge"] == "dns-01":
                self._watch.needs_no_look(hostname)
            await self._take_effect(undo)

        await to_the_end(work())
        return self.shown(await self._store.get(values["id"]))

    async def change(self, domain_id: str, given: dict[str, Any]) -> DomainOut:
        """Change a domain; omitted fields stay. A failed certificate is ordered again.

        Raises NotFound, InvalidRequest, Conflict.
        """
        row = await self._store.get(domain_id)
        self._names.admit_hostname(row.hostname)
        values: dict[str, Any] = {}
        hostname = _hostname(given["domain"]) if given.get("domain") is not None else row.hostname
        self._own(hostname, given.get("app_id", row.app_id))
        if hostname != row.hostname:
            values |= {"hostname": hostname, **WITHOUT_CERTIFICATE, **WITHOUT_ERROR}
        if "app_id" in given:
            values["app_id"] = await self._app(given["app_id"])
        if hostname != row.hostname or any(given.get(name) is not None for name in CERTIFICATE):
            values |= await self._choice.columns(hostname, given, row)
        app_id = values.get("app_id", row.app_id)
        details = f"Changed the domain {hostname}"
        event = DomainChanged(resource=row.id, details=details, domain=hostname, app_id=app_id)

        async def undo() -> None:
            back = DomainChanged(
                resource=row.id, details=f"Undid the change of {hostname}", domain=row.hostname, app_id=row.app_id
            )
            await self._store.change(row.id, {name: getattr(row, name) for name in _CHANGEABLE}, back)

        async def work() -> None:
            await self._store.change(row.id, values, event)
            self._watch.try_again(row.hostname)
            if values.get("challenge", row.challenge) == "dns-01":
                self._watch.needs_no_look(hostname)
            await self._take_effect(undo)

        await to_the_end(work())
        return self.shown(await self._store.get(row.id))

    async def remove(self, domain_id: str) -> None:
        """Remove a domain; its certificate is served no longer. Raises NotFound, Forbidden."""
        self._names.admit_hostname((await self._store.get(domain_id)).hostname)

        async def work() -> None:
            await self._store.remove(domain_id, _removed)
            await self._take_effect()

        await to_the_end(work())

    async def certificate(self, domain_id: str) -> CertificateOut:
        """Tell how a domain's certificate is, as it is now. Raises NotFound."""
        row = await self._store.get(domain_id)
        if await self._watch.look_at_storage(row) is not None:
            row = await self._store.get(domain_id)
        dns = None
        if row.provider == "acme":
            report = await self._watch.dns(row.hostname)
            dns = DnsOut(
                points_here=report.points_here,
                found=list(report.found),
                expected=list(report.expected),
                detail=report.detail,
            )
        left = row.not_after - self._ctx.clock.now() if row.not_after is not None else None
        code, error = self._error(row)
        names = ("issuer", "not_before", "not_after", "serial", "error_at")
        return CertificateOut(
            status=self._status(row),
            provider=self._provider(row),
            days_left=left // timedelta(days=1) if left is not None else None,
            dns=dns,
            error_code=code,
            error=error,
            **{name: getattr(row, name) for name in names},
        )

    def shown(self, row: Domain) -> DomainOut:
        """Return a domain as the API shows it."""
        ssl = SslOut(status=self._status(row), provider=self._provider(row))
        return DomainOut(id=row.id, domain=row.hostname, app_id=row.app_id, ssl=ssl, created_at=row.created_at)

    def _status(self, row: Domain) -> Any:
        if row.provider == "none" or self._settings.mode == "coexist":
            return "disabled"
        if row.not_before is None or row.not_after is None:
            return "failed" if self._error(row)[1] is not None else "provisioning"
        return _state(row.not_before, row.not_after, self._ctx.clock.now(), self._settings.expiring_days)

    def _error(self, row: Domain) -> tuple[str | None, str | None]:
        """Return code and message of a domain's error; a failure of Caddy itself comes first."""
        if row.provider == "none":
            return None, None
        if self._settings.mode == "coexist":
            return "front_ends_tls", "The web server in front ends TLS: give the certificate to it (mode is coexist)."
        trouble = self._trouble()
        if trouble is not None and (row.provider in OBTAINED and row.serial is None):
            return "not_served", trouble
        return row.error_code, row.error

    def _provider(self, row: Domain) -> str | None:
        if row.provider == "acme":
            return "letsencrypt" if "letsencrypt.org" in self._settings.acme_directory else "acme"
        return None if row.provider == "none" else str(row.provider)

    def _own(self, hostname: str, app_id: str | None) -> str:
        """Return the hostname. Raises Forbidden if it is one of the node's and the caller is no admin."""
        self._names.admit_hostname(hostname)
        if app_id is not None and self._names.owns(hostname):
            raise InvalidRequest.field(
                "app_id", f"{hostname} is a name of this node: make a route to lead it to an app"
            )
        return hostname

    async def _app(self, app_id: str | None) -> str | None:
        if app_id is None:
            return None
        apps = self._ctx.find(Apps)
        if apps is None:
            raise Unavailable("No installed plugin has apps.", code="apps_unavailable")
        if await apps.find_app(app_id) is None:
            raise InvalidRequest.field("app_id", f"there is no app {app_id!r}")
        return app_id

    async def _take_effect(self, undo: Callable[[], Awaitable[None]] | None = None) -> None:
        """Serve the current domains. Undone if Caddy refuses them; retried if Caddy is down."""
        try:
            await self._refresh("domains")
        except CloudOSError as error:
            if undo is not None and error.code == "configuration_refused":
                await undo()
                raise Conflict(error.code, f"{error.message} Nothing was changed.") from None
            self._ctx.log.warning("the domains are not served yet", reason=error.message)
        self._watch.look_now()


def _removed(row: Domain) -> DomainRemoved:
    return DomainRemoved(resource=row.id, details=f"Removed the domain {row.hostname}", domain=row.hostname)


def _state(not_before: datetime, not_after: datetime, now: datetime, days: int) -> str:
    left, lifetime = not_after - now, not_after - not_before
    if left <= timedelta(0):
        return "expired"
    return "expiring_soon" if left < min(timedelta(days=days), lifetime / 4) else "valid"


def _hostname(text: str) -> str:
    try:
        return normalise(text)
    except BadHostname as error:
        raise InvalidRequest.field("domain", str(error)) from None
