"""Caddy's admin API."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import orjson

from cloudos_proxy.caddy.reuseport import unturned

LOAD_SECONDS = 60.0
_TRIES = 5


class CaddyRefused(Exception):
    """Caddy rejected the document and keeps the previous one; the message is Caddy's."""


class CaddyUnreachable(Exception):
    """Nothing answers at the admin address."""


class Caddy:
    """A client of one admin address: `unix//path` or `host:port`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session: Any = None
        self._aiohttp: Any = None

    async def load(self, document: bytes) -> None:
        """Replace the running document in one step. Raises CaddyRefused, CaddyUnreachable."""
        headers = {"Content-Type": "application/json", "Cache-Control": "must-revalidate"}
        status, body = await self._call("POST", "/load", document, headers)
        if status != 200:
            raise CaddyRefused(_reason(body))

    async def config(self) -> bytes:
        """Return the running document. Raises CaddyUnreachable."""
        status, body = await self._call("GET", "/config/")
        if status != 200:
            raise CaddyUnreachable(f"Caddy answers {status} at its admin address {self.address}: {_reason(body)}")
        return body

    async def runs(self, document: bytes) -> bool:
        """Return whether Caddy runs `document`, on whichever of our sockets."""
        running = unturned((await self.config()).strip())
        return running == document or await asyncio.to_thread(_same, running, document)

    async def get(self, path: str) -> Any:
        """Return the parsed JSON of the admin API at `path`; None if there is nothing."""
        status, body = await self._call("GET", path)
        return orjson.loads(body) if status == 200 else None

    async def answers(self) -> bool:
        """Return whether the admin API answers."""
        try:
            await self._call("GET", "/config/admin")
        except CaddyUnreachable:
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(
        self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        session = self._session or await self._open()
        base = "http://caddy" if self.address.startswith("unix/") else f"http://{self.address}"
        try:
            for _ in range(_TRIES):
                try:
                    async with session.request(method, base + path, data=data, headers=headers) as answer:
                        return answer.status, await answer.read()
                except self._aiohttp.ServerDisconnectedError:
                    await asyncio.sleep(0.02)  # a server that a load has just replaced; all calls may be repeated
            raise ConnectionError("it hangs up")
        except (self._aiohttp.ClientError, OSError, TimeoutError) as error:
            raise CaddyUnreachable(
                f"Caddy does not answer at its admin address {self.address}: {error or type(error).__name__}"
            ) from None

    async def _open(self) -> Any:
        # 100 ms that a start does not have; one connection for each call, since a load ends the server that took it
        aiohttp = self._aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
        unix = self.address.startswith("unix/")
        make = aiohttp.UnixConnector if unix else aiohttp.TCPConnector
        connector = make(**({"path": self.address.removeprefix("unix/")} if unix else {}), force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=LOAD_SECONDS), read_bufsize=2**20
        )
        return self._session


def _same(one: bytes, other: bytes) -> bool:
    try:
        return bool(orjson.loads(one) == orjson.loads(other))
    except orjson.JSONDecodeError:
        return False


def _reason(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode(errors="replace")[:500]
