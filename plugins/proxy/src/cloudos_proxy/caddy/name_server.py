"""A DNS server for Caddy alone: it resolves upstream names to addresses that were checked at that moment.

A name that is looked up once, when a route is made, may stand for another address a moment later (DNS rebinding). So
Caddy is given no name but those of `dial_names`, and asks here for each connection that it opens. While the host is
down no name is answered: it fails closed.

Go takes every Unix socket for one of packets, so a question is what one write sends (RFC 1035, 4.2.1), without a length
before it. It waits for the answer, so two questions do not run together.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from cloudos_proxy.upstreams.dial_names import addr_of
from cloudos_proxy.upstreams.name_lookup import Address

_PATH_LIMIT = 107
_LONGEST = 1232
_SECONDS = 10.0
_KINDS = {"A": 4, "AAAA": 6}

Find = Callable[[str], Awaitable[Sequence[Address]]]


class NameServer:
    """Listens on a socket in the data folder, mode 0600. `find` gives the addresses by which to dial `host:port`."""

    def __init__(self, path: Path, find: Find, log: Any) -> None:
        self._path = path
        self._find = find
        self._log = log
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def dial(self) -> str | None:
        """How Caddy reaches it; None while it does not listen."""
        return f"unix/{self._path}" if self._server is not None else None

    async def start(self) -> None:
        """Start to listen; logs a warning if the path is too long for a Unix socket."""
        if len(str(self._path)) > _PATH_LIMIT:
            self._log.warning("names of upstreams are looked up at each apply only", path=str(self._path))
            return
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._server.wait_closed()
            self._server = None
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            async with asyncio.timeout(_SECONDS):
                while asked := await reader.read(_LONGEST):
                    writer.write(await self._answer(asked))
                    await writer.drain()
        except (OSError, TimeoutError):
            pass  # it has what it wanted, or will ask again
        except Exception as error:  # noqa: BLE001 # whatever it is, Caddy gets no address
            self._log.error("a name could not be answered", error=repr(error))
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, asked: bytes) -> bytes:
        """Return the answer to one query; NXDOMAIN for names without an allowed address."""
        if "dns.message" not in sys.modules:
            await asyncio.to_thread(importlib.import_module, "dns.message")
        import dns.flags
        import dns.message
        import dns.rcode
        import dns.rdatatype
        import dns.rrset

        query = dns.message.from_wire(asked)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        (question,) = query.question
        addr = addr_of(question.name.to_text())
        addresses = await self._find(addr) if addr is not None else ()
        if not addresses:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        version = _KINDS.get(dns.rdatatype.to_text(question.rdtype))
        found = [str(address) for address in addresses if address.version == version]
        if found:
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", question.rdtype, *found))
        return answer.to_wire()
