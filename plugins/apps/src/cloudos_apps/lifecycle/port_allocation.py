"""Which port of the machine leads to which port of an app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from ipaddress import ip_address
from typing import TypeVar

import orjson
from cloudos_sdk import Conflict
from sqlmodel import Session

from cloudos_apps.lifecycle import host_ports as machine
from cloudos_apps.models import App
from cloudos_apps.settings import AppsSettings
from cloudos_apps.store import AppStore
from cloudos_apps.templates.model.template import Template, Value, wanted_ports

T = TypeVar("T")


class PortAllocator:
    """Allocates ports that no other app and, with a local engine, no other program uses."""

    def __init__(self, settings: AppsSettings, store: AppStore) -> None:
        self._settings = settings
        self._store = store
        self._bind = str(settings.bind_address)
        self._here = settings.docker_host.startswith("unix:")

    def choose(
        self, session: Session, template: Template, config: Mapping[str, Value], old: App | None
    ) -> dict[str, int]:
        """Return the machine's port of each port's name, in the transaction that stores them.

        An app keeps those that it has. Raises Conflict `port_in_use`.
        """
        held = self._store.taken_ports(session, old.id if old is not None else None)
        mine: dict[str, int] = orjson.loads(old.ports) if old is not None else {}
        protocols = {port.name: port.protocol for port in template.ports()}
        chosen: dict[str, int] = {}
        for name, wanted in wanted_ports(template, config).items():
            protocol = protocols[name]
            if wanted is None:
                chosen[name] = mine.get(name) or self._any(protocol, {*held, *mine.values(), *chosen.values()})
                continue
            if wanted in held:
                raise machine.in_use(wanted, protocol, f"the app {held[wanted]}")
            if wanted not in mine.values() and not self._free(wanted, protocol):
                raise machine.in_use(wanted, protocol, machine.UNKNOWN)
            chosen[name] = wanted
        return chosen

    def address(self, template: Template, ports: Mapping[str, int]) -> str | None:
        """Return `host:port` of the app's HTTP service as seen from this machine, or None."""
        port = ports.get(template.web_port) if template.web_port else None
        if port is None:
            return None
        bind = ip_address(self._bind)
        if bind.is_unspecified:
            return f"127.0.0.1:{port}" if bind.version == 4 else f"[::1]:{port}"
        return f"{bind}:{port}" if bind.version == 4 else f"[{bind}]:{port}"

    async def naming_holder(self, work: Awaitable[T]) -> T:
        """Await `work`; if a port is in use, add its holder to the error, which is too slow within a transaction."""
        try:
            return await work
        except Conflict as error:
            if error.extra.get("holder") != machine.UNKNOWN:
                raise
            port, protocol = error.extra["port"], error.extra["protocol"]
            raise machine.in_use(port, protocol, await asyncio.to_thread(machine.holder, port)) from None

    def _any(self, protocol: str, taken: set[int]) -> int:
        first = self._settings.first_port
        for port in range(first, 65536):
            if port not in taken and self._free(port, protocol):
                return port
        raise Conflict("port_in_use", f"There is no free port from {first} upwards.")

    def _free(self, port: int, protocol: str) -> bool:
        return not self._here or machine.is_free(self._bind, port, protocol)
