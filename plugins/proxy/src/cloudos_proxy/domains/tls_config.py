"""The domains' part of Caddy's document: certificates, names without TLS, and sites of apps."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cloudos_sdk import Context
from cloudos_sdk.capabilities import Apps

from cloudos_proxy.caddy.config.site import Site
from cloudos_proxy.caddy.config.tls import Acme, TlsParts, Uploaded, WantedCertificate, tls_app
from cloudos_proxy.domains.store import DomainStore
from cloudos_proxy.models import Domain
from cloudos_proxy.routes.node_names import NodeNames
from cloudos_proxy.settings import ProxySettings

_NOT_PUBLIC = ("localhost", "local", "internal", "home.arpa", "lan", "localdomain")


class DomainTlsConfig:
    """Builds the domains' part for each document."""

    def __init__(self, ctx: Context, store: DomainStore, names: NodeNames) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._store = store
        self._names = names
        self.cleared: set[str] = set()
        """Hostnames that an ACME server may be asked about: DNS does not speak against it."""
        self._plain: frozenset[str] = frozenset()

    def is_plain(self, hostname: str) -> bool:
        """Return whether a name was served without TLS at the last build."""
        return hostname in self._plain

    async def parts(self, routed: Collection[str]) -> TlsParts:
        """Return the part for a document with routes of these hostnames."""
        rows = {row.hostname: row for row in await self._store.all()}
        own = await self._app_sites(row for row in rows.values() if row.hostname not in routed)
        names = {*routed, *rows}
        if self._settings.mode == "coexist":
            self._plain = frozenset(names)
            return TlsParts(plain=self._plain, sites=own)
        wanted, uploaded, plain = [], [], set()
        for name in sorted(names):
            row = rows.get(name) or rows.get(f"*.{name.partition('.')[2]}")
            if (row is None and self._settings.route_certificates == "none") or (row and row.provider == "none"):
                plain.add(name)
            elif row is None:
                wanted.append(self._of_route(name))
            elif row.hostname != name:
                continue  # the wildcard's certificate is for it too
            elif row.provider == "uploaded":
                uploaded.append(Uploaded(row.certificate or "", self._ctx.secrets.decrypt(row.private_key or "")))
            elif row.provider == "internal" or row.serial is not None or name in self.cleared:
                wanted.append(WantedCertificate(name, row.provider, row.challenge))
        self._plain = frozenset(plain)
        return TlsParts(app=tls_app(wanted, uploaded, self._acme), plain=self._plain, sites=own)

    @property
    def _acme(self) -> Acme:
        settings = self._settings
        root = str(settings.acme_root) if settings.acme_root is not None else None
        return Acme(settings.acme_directory, settings.acme_email, root, settings.acme_dns_provider)

    def _of_route(self, name: str) -> WantedCertificate:
        """Return the certificate settings of a route's name that is no domain."""
        wildcard = name.startswith("*.")
        public = not name.endswith(tuple(f".{suffix}" for suffix in _NOT_PUBLIC))
        if self._settings.route_certificates == "internal" or not public:
            return WantedCertificate(name, "internal")
        if wildcard and self._settings.acme_dns_provider is None:
            return WantedCertificate(name, "internal")
        return WantedCertificate(name, "acme", "dns-01" if wildcard else None)

    async def _app_sites(self, rows: Iterable[Domain]) -> tuple[Site, ...]:
        """Return the sites of domains that lead to an app and have no route; the node's own names need one."""
        apps = self._ctx.find(Apps)
        leading = [row for row in rows if row.app_id is not None and not self._names.owns(row.hostname)]
        if apps is None or not leading:
            return ()
        addresses = {app.id: app.addr for app in await apps.list_apps()}
        found = ((row.id, row.hostname, addresses.get(row.app_id or "")) for row in leading)
        return tuple(Site(id, name, addr) for id, name, addr in found if addr is not None)
