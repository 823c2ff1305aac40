"""Resolves the upstreams of routes: apps, the UI, and manual host:port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloudos_sdk import Context
from cloudos_sdk.capabilities import AppAddress, Apps

from cloudos_proxy.caddy.own_address import OwnAddress
from cloudos_proxy.routes.model import UI_ID, RouteRow
from cloudos_proxy.routes.node_names import NodeNames
from cloudos_proxy.routes.options import limits
from cloudos_proxy.routes.request_headers import headers_refusal
from cloudos_proxy.settings import ProxySettings
from cloudos_proxy.upstreams.name_lookup import Address
from cloudos_proxy.upstreams.policy import BadUpstream, UpstreamRules, is_fixed, join, probe, resolve, split

NOWHERE = "127.0.0.1:0"
"""Where nothing can be dialled."""


class Unresolved(Exception):
    """A route leads nowhere now; the message says why."""


class Refused(Unresolved):
    """A route may not be served; the message says why."""


class Unknown(Unresolved):
    """An upstream cannot be resolved now; the message says why."""


class Resolver:
    """Finds the address of a route's upstream."""

    def __init__(self, ctx: Context, own: OwnAddress, names: NodeNames) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._own = own
        self._names = names
        self._rules = UpstreamRules(self._settings.allow_upstreams)

    async def api(self) -> str:
        """Return host:port of this node's API."""
        return await self._own.get()

    async def check_manual(self, addr: str) -> None:
        """Raise BadUpstream if `addr` is not allowed as an upstream."""
        await self._rules.check(addr, await self._own_ports(), seconds=self._settings.probe_seconds)

    async def apps_of(self, rows: Iterable[RouteRow]) -> Mapping[str, AppAddress] | None:
        """Return the installed apps by id if a route leads to one; None without an apps plugin."""
        return await self.apps() if any(row.upstream_type == "app" for row in rows) else {}

    async def apps(self) -> Mapping[str, AppAddress] | None:
        """Return the installed apps by id; None without an apps plugin."""
        apps = self._ctx.find(Apps)
        return {app.id: app for app in await apps.list_apps()} if apps is not None else None

    async def probe(self, addrs: Iterable[str]) -> dict[str, str]:
        """Return the errors of the addresses that do not answer."""
        return await probe(addrs, self._settings.probe_seconds, self._to_call)

    async def addresses(self, addr: str) -> Sequence[Address]:
        """Return the addresses by which a manual upstream may be dialled now. Raises BadUpstream."""
        return await self._rules.check(addr, await self._own_ports(), seconds=self._settings.probe_seconds)

    async def _to_call(self, addr: str) -> Sequence[Address]:
        """Return the addresses to probe; for a manual name those that Caddy may dial."""
        host = split(addr)[0]
        if is_fixed(host) or addr in (self._settings.ui_addr, await self.api()):
            return await resolve(host, self._settings.probe_seconds)
        return await self.addresses(addr)

    async def pinned(self, addr: str) -> str:
        """Return a fixed address for a manual upstream: one that answers now."""
        host, port = split(addr)
        if is_fixed(host):
            return addr
        try:
            found = [join(str(address), port) for address in await self.addresses(addr)]
        except BadUpstream:
            found = []
        silent = await probe(found, self._settings.probe_seconds)
        found.sort(key=lambda each: each in silent)
        return found[0] if found else NOWHERE

    def dial(self, row: RouteRow, apps: Mapping[str, AppAddress] | None, api: str) -> str:
        """Return the address of a route's upstream. Raises Unresolved."""
        if (refusal := self._names.refusal(row)) is not None:
            raise Refused(refusal)
        headers = limits(row, self._ctx.secrets).request_headers
        if headers and (refusal := headers_refusal(headers, self._names.owns)) is not None:
            raise Refused(f"request_headers: {refusal}.")
        if row.upstream_type == "ui":
            return self._settings.ui_addr or api
        if row.upstream_type == "manual":
            return row.upstream_addr or ""
        if apps is None:
            raise Unknown("Nothing here knows apps now; `cloudos plugins` shows why.")
        app = apps.get(row.upstream_id or "")
        if app is None:
            raise Unresolved(f"There is no app {row.upstream_id!r}; lead the route elsewhere, or delete it.")
        if app.addr is None:
            raise Unresolved(f"The app {app.name} does not serve HTTP.")
        return app.addr

    async def upstreams(self, rows: Iterable[RouteRow]) -> list[dict[str, str]]:
        """Return all that a route may lead to: apps that serve HTTP, the OS UI, and addresses in use by routes."""
        known = [
            {"id": app.id, "type": "app", "name": app.name, "addr": app.addr}
            for app in (await self.apps() or {}).values()
            if app.addr is not None
        ]
        known.append({"id": UI_ID, "type": "ui", "name": "OS UI", "addr": self._settings.ui_addr or await self.api()})
        manual = sorted({row.upstream_addr for row in rows if row.upstream_type == "manual" and row.upstream_addr})
        return [*known, *({"id": addr, "type": "manual", "name": addr, "addr": addr} for addr in manual)]

    async def refused(self, rows: Sequence[RouteRow], *, fixed: bool = False) -> dict[str, str]:
        """Return why, for those of these manual routes that may not be: a name may lead elsewhere than it did.

        With `fixed` only addresses are looked at, which takes no time: the node may have other ports than it had.
        """
        own = await self._own_ports()
        manual = [row for row in rows if row.upstream_type == "manual" and row.upstream_addr]
        if fixed:
            manual = [row for row in manual if is_fixed(split(row.upstream_addr or "")[0])]

        async def check(row: RouteRow) -> str | None:
            try:
                await self._rules.check(row.upstream_addr or "", own, seconds=self._settings.probe_seconds)
            except BadUpstream as error:
                return f"{error}."
            return None

        reasons = await asyncio.gather(*(check(row) for row in manual))
        return {row.id: why for row, why in zip(manual, reasons, strict=True) if why is not None}

    async def _own_ports(self) -> dict[int, str]:
        caddy = "a port of the proxy itself"
        ports: dict[int, Any] = dict.fromkeys((self._settings.http_port, self._settings.https_port), caddy)
        if self._settings.mode == "coexist":
            # those of the server in front lead to the node too: by the name that a request is for, or in a circle
            ports = dict.fromkeys(ports, "a port of the web server in front of this node")
            ports[self._settings.coexist_port] = caddy
        if self._settings.admin_address and not self._settings.admin_address.startswith("unix/"):
            ports[split(self._settings.admin_address)[1]] = "the admin address of Caddy"
        api = split(await self.api())[1]
        return {**ports, api: 'this node\'s own API, which is the upstream_type "ui"'}
