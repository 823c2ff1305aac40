"""Loads a document, checks that it serves, and restores the previous one if it does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import orjson

from cloudos_proxy.caddy.admin_api import CaddyRefused, CaddyUnreachable
from cloudos_proxy.caddy.config.document import ALIVE
from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.routes.model import Served
from cloudos_proxy.settings import ProxySettings
from cloudos_proxy.upstreams.policy import probe

Call = Callable[[Collection[str]], Awaitable[dict[str, str]]]
"""Calls upstreams; says why, of those that do not answer."""

_SECONDS = 5.0
_TRIES = 5
_PLACE = re.compile(r"server (\w+): .*?route (\d+):")


class NotServed(Exception):
    """A document could not be served, the previous one is in force; `upstreams` are those that do not answer."""

    def __init__(self, message: str, upstreams: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.upstreams = dict(upstreams or {})


class Loader:
    """The way of a document into Caddy."""

    def __init__(self, settings: ProxySettings, door: CaddySupervisor, call: Call | None = None) -> None:
        self._settings = settings
        self._door = door
        self._call = call or (lambda addrs: probe(addrs, settings.probe_seconds))

    async def load(self, document: bytes, *, before: bytes, upstreams: Collection[str]) -> None:
        """Serve `document` if its `upstreams` still answer; else restore `before`. Raises NotServed.

        Raises NotServed, and Unavailable.
        """
        try:
            await self._door.load(document)
        except CaddyRefused as error:
            raise NotServed(str(error)) from None
        try:
            trouble, dead = await self._trouble(document, upstreams)
        except BaseException:
            await self._door.load(before)
            raise
        if trouble or dead:
            await self._door.load(before)
            raise NotServed(trouble or "an upstream stopped answering", dead)

    async def _trouble(self, document: bytes, upstreams: Collection[str]) -> tuple[str | None, dict[str, str]]:
        dead, other, silence = await asyncio.gather(
            self._call(upstreams), self._runs_another(document), self._silence()
        )
        return other or silence, dead

    async def _runs_another(self, document: bytes) -> str | None:
        """Return why Caddy runs another document, or None. Only checked for a Caddy that others may load into."""
        if self._settings.admin_address is None:
            return None
        try:
            return None if await self._door.caddy.runs(document) else "Caddy runs another document than it was given"
        except CaddyUnreachable as error:
            return str(error)

    async def _silence(self) -> str | None:
        """Return why Caddy does not answer on its port, or None."""
        coexist = self._settings.mode == "coexist"
        port = self._settings.coexist_port if coexist else self._settings.http_port
        address = "127.0.0.1" if coexist else self._settings.bind_address or "127.0.0.1"
        try:
            async with asyncio.timeout(_SECONDS):
                for _ in range(_TRIES):
                    if line := await _first_line(address, port):
                        break
                    await asyncio.sleep(0.05)  # the server before this one had taken the connection, and hung up
        except (OSError, TimeoutError) as error:
            return f"nothing answers on port {port}: {error or 'no answer in time'}"
        return None if line.split()[1:2] == [b"204"] else f"something else answers on port {port}"


async def _first_line(address: str, port: int) -> bytes:
    """Return the first line of a web server's answer; empty if it hangs up."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {ALIVE} HTTP/1.1\r\nHost: alive\r\nConnection: close\r\n\r\n".encode())
        return await reader.readline()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def blamed(message: str, document: bytes, served: Sequence[Served]) -> str | None:
    """Return the id of the route that Caddy's refusal speaks of, or None."""
    found = _PLACE.search(message)
    if found is None:
        return None
    try:
        match = orjson.loads(document)["apps"]["http"]["servers"][found[1]]["routes"][int(found[2])]["match"][0]
    except (KeyError, IndexError):
        return None
    name, prefix = match.get("host", [""])[0], match.get("path", [""])[0]
    return next((each.row.id for each in served if (each.row.hostname, each.row.path_prefix) == (name, prefix)), None)
