"""From routes that are to be served to Caddy's document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

import orjson
from cloudos_sdk import Context

from cloudos_proxy.apply.plan import sites
from cloudos_proxy.caddy.config.document import Frame, build
from cloudos_proxy.caddy.config.tls import TlsParts
from cloudos_proxy.caddy.runner import variable
from cloudos_proxy.caddy.sockets import WantedSocket
from cloudos_proxy.routes.model import Served
from cloudos_proxy.settings import ProxySettings

UNENDED_SECONDS = 300
"""How long a WebSocket of a gated route lasts where it cannot be ended with the right to it."""

Parts = Callable[[Collection[str]], Awaitable[TlsParts]]


def wanted_sockets(settings: ProxySettings) -> list[WantedSocket]:
    """Return the sockets that Caddy is to be given; none for one that is run by others."""
    if settings.admin_address is not None:
        return []
    if settings.mode == "coexist":
        return [WantedSocket("front", "127.0.0.1", settings.coexist_port)]
    address = settings.bind_address
    found = [WantedSocket("http", address, settings.http_port), WantedSocket("https", address, settings.https_port)]
    return [*found, WantedSocket("http3", address, settings.https_port, udp=True)] if settings.http3 else found


class ConfigBuilder:
    """Makes the document."""

    def __init__(
        self,
        ctx: Context,
        parts: Parts,
        gate: Callable[[], str | None],
        names: Callable[[], str | None],
        pinned: Callable[[str], Awaitable[str]],
        key: str,
        ends_streams: Callable[[], bool],
    ) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._parts = parts
        self._gate = gate
        self._names = names
        self._pinned = pinned
        self._key = key
        self._ends_streams = ends_streams

    async def document(self, served: Sequence[Served], api: str) -> tuple[bytes, bool]:
        """Return the document for these routes and the current domains, and whether it serves anything."""
        tls = await self._parts({each.row.hostname for each in served})
        if self._names() is None:
            served = await asyncio.gather(*map(self._pin, served))
        document = await asyncio.to_thread(self._dump, served, tls, self._frame(api))
        return document, bool(served or tls.sites or tls.app)

    async def _pin(self, served: Served) -> Served:
        """Replace a name by an address for a Caddy that cannot use our name server."""
        if served.row.upstream_type != "manual":
            return served
        return replace(served, dial=await self._pinned(served.dial))

    def _dump(self, served: Sequence[Served], tls: TlsParts, frame: Frame) -> bytes:
        document = build(frame, sites(served, self._ctx.secrets), tls)
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    def _frame(self, api: str) -> Frame:
        settings, folder = self._settings, self._ctx.data_dir
        api_dial = self._api_dial()
        admin = settings.admin_address or f"unix/{folder / 'admin.sock'}|0600"
        listeners: dict[str, tuple[str, ...]]
        if settings.admin_address is not None:
            listeners = self._addresses()
        else:
            names = {"http3": "fdgram"}
            listeners = {
                one.name: (f"{names.get(one.name, 'fd')}/{{env.{variable(one.name)}}}",)
                for one in wanted_sockets(settings)
            }
        return Frame(
            admin=admin,
            storage=str(folder / "caddy"),
            log_file=str(folder / "caddy.log"),
            api=api,
            gate=self._gate() or api_dial or api,
            api_dial=api_dial,
            names=self._names() or "",
            key=self._key,
            http_port=settings.http_port,
            https_port=settings.https_port,
            stream_close_seconds=settings.stream_close_seconds,
            stream_seconds=0 if self._ends_streams() else UNENDED_SECONDS,
            drain_seconds=settings.drain_seconds if settings.admin_address is None else 0.0,
            **listeners,
        )

    def _api_dial(self) -> str:
        """Return the API's socket if Caddy is ours and no address of the API is configured."""
        ours = self._settings.admin_address is None and self._settings.api_addr is None
        socket = self._ctx.api_socket if ours else None
        return f"unix/{socket}" if socket is not None else ""

    def _addresses(self) -> dict[str, tuple[str, ...]]:
        """Return the listeners of a Caddy that opens its ports itself."""
        settings = self._settings
        if settings.mode == "coexist":
            return {"front": (f"127.0.0.1:{settings.coexist_port}",)}
        address = f"[{settings.bind_address}]" if ":" in settings.bind_address else settings.bind_address
        return {"http": (f"{address}:{settings.http_port}",), "https": (f"{address}:{settings.https_port}",)}
