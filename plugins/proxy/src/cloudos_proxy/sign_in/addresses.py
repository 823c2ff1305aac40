"""The addresses of the sign-in page and of allowed redirects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloudos_proxy.caddy.own_address import OwnAddress
from cloudos_proxy.hostnames import normalise
from cloudos_proxy.routes.model import RouteRow
from cloudos_proxy.settings import ProxySettings
from cloudos_proxy.sign_in.redirects import RedirectTarget, target_of


class SignInAddresses:
    """The addresses of a sign-in: the node's own, and those behind the gate."""

    def __init__(
        self,
        settings: ProxySettings,
        own: OwnAddress,
        gated: Callable[[str], Sequence[RouteRow]],
        ui_hostname: Callable[[], str | None],
        is_plain: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._own = own
        self._gated = gated
        self._ui_hostname = ui_hostname
        self._is_plain = is_plain

    def target(self, url: str) -> RedirectTarget | None:
        """Return the redirect target of a URL if it is a gated route, else None."""
        ports = (self._settings.http_port, self._settings.https_port)
        return target_of(url, lambda name: bool(self._gated(name)), ports)

    def vouched(self, hostname: str) -> bool:
        """Return whether a name is approved by an admin: below the base domain, or with routes of an admin."""
        below = self._settings.base_domain
        if below and f".{hostname}".endswith(f".{normalise(below)}"):
            return True
        return all(row.by_admin for row in self._gated(hostname))

    async def node_url(self) -> str:
        """Return the node's own address in a browser: the set one, the OS UI's, or the API's on this machine."""
        if self._settings.node_url is not None:
            return self._settings.node_url
        hostname = self._ui_hostname()
        if hostname is None:
            return f"http://{(await self._own.get()).replace('127.0.0.1', 'localhost')}"
        if self._is_plain(hostname):
            scheme, port, usual = "http", self._settings.http_port, 80
        else:
            scheme, port, usual = "https", self._settings.https_port, 443
        if self._settings.mode == "coexist":
            port = usual  # of the web server in front
        return f"{scheme}://{hostname}" + ("" if port == usual else f":{port}")
