"""Names that are looked up in threads: one whose server is silent keeps its thread for half a minute, and no other's.

A thread that looks up cannot be stopped. So names that answer, names that nobody knows yet and names that were silent
lately have threads of their own, and those of the hosts file, which wait for no server, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LAST_SECONDS = 30.0
"""How long the last answer stands in for one that does not come. Whoever dials judges the addresses anew."""
QUIET_SECONDS = 5.0
"""How long a name that was silent is not asked for again."""
_SILENT_SECONDS = 60.0
_SLOW_SECONDS = 1.0
_THREADS = {"listed": 2, "steady": 16, "new": 32, "silent": 8}
_MOST = 2000
_LONGEST_LIST = 1024 * 1024


@dataclass(slots=True)
class _Known:
    """The cached answer of a name."""

    addresses: list[Address] = field(default_factory=list)
    answered: float = float("-inf")
    silent: float = float("-inf")
    quiet_until: float = float("-inf")


@dataclass(slots=True)
class _Looking:
    """A look-up under way, and for how many."""

    future: Future[list[Address] | None]
    waiting: int = 0


class Lookups:
    """Looks names up, each once at a time."""

    def __init__(self, hosts: Path = Path("/etc/hosts")) -> None:
        self._pools = {
            kind: ThreadPoolExecutor(count, thread_name_prefix=f"proxy-{kind}") for kind, count in _THREADS.items()
        }
        self._under_way: dict[str, _Looking] = {}
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._hosts = hosts
        self._listed: frozenset[str] = frozenset()
        self._stamp: tuple[int, int] | None = None

    async def find(self, host: str, seconds: float) -> list[Address]:
        """Return the addresses of a name; empty if it has none or the lookup times out."""
        name = host.lower()
        looking = self._under_way.get(name)
        if looking is None:
            with self._lock:
                quiet = (known := self._known.get(name)) is not None and time.monotonic() < known.quiet_until
            if quiet:
                return self._last(name)
            looking = self._begin(name)
        looking.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                found = await asyncio.shield(asyncio.wrap_future(looking.future))
            return list(found) if found is not None else self._last(name)
        except TimeoutError:
            if looking.future.running():
                self._silent(name)
            return self._last(name)
        finally:
            looking.waiting -= 1
            if not looking.waiting:
                looking.future.cancel()  # one that has no thread yet: nobody wants it any more

    def _begin(self, name: str) -> _Looking:
        looking = _Looking(self._pools[self._kind(name)].submit(self._look_up, name))
        self._under_way[name] = looking

        def ended(_: Future[list[Address] | None]) -> None:
            if self._under_way.get(name) is looking:
                del self._under_way[name]

        looking.future.add_done_callback(ended)
        return looking

    def _kind(self, name: str) -> str:
        """Return which threads look a name up."""
        if name.rstrip(".") in self._names_listed():
            return "listed"
        with self._lock:
            known = self._known.get(name)
        if known is None:
            return "new"
        if time.monotonic() - known.silent < _SILENT_SECONDS:
            return "silent"
        return "steady" if known.addresses else "new"

    def _look_up(self, name: str) -> list[Address] | None:
        """Look up a name and cache the outcome; None on a temporary failure. Called in a thread."""
        began = time.monotonic()
        try:
            entries = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError: looking up is forbidden here
            if time.monotonic() - began >= _SLOW_SECONDS:
                self._silent(name, quiet=True)
                return None
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                return None
            with self._lock:
                self._known.pop(name, None)  # there is no such name
            return []
        found = list({ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries})
        with self._lock:
            known = self._of(name)
            known.addresses, known.answered = found, time.monotonic()
            if known.answered - began < _SLOW_SECONDS:
                known.silent = float("-inf")
        return found

    def _silent(self, name: str, *, quiet: bool = False) -> None:
        with self._lock:
            known, now = self._of(name), time.monotonic()
            known.silent = now
            if quiet:
                known.quiet_until = now + QUIET_SECONDS

    def _last(self, name: str) -> list[Address]:
        """Return the last answer unless it is stale."""
        with self._lock:
            known = self._known.get(name)
        fresh = known is not None and time.monotonic() - known.answered < LAST_SECONDS
        return list(known.addresses) if known is not None and fresh else []

    def _of(self, name: str) -> _Known:
        """Return the mutable cache entry of a name; the lock is held."""
        found = self._known.pop(name, None) or _Known()
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[name] = found
        return found

    def _names_listed(self) -> frozenset[str]:
        """Return the names in the hosts file, read again when it changes."""
        try:
            found = self._hosts.stat()
            stamp = found.st_mtime_ns, found.st_size
            if stamp != self._stamp:
                with self._hosts.open("rb") as file:
                    lines = file.read(_LONGEST_LIST).decode("ascii", "replace").lower().splitlines()
                self._listed = frozenset(name for line in lines for name in line.partition("#")[0].split()[1:])
                self._stamp = stamp
        except OSError:
            return frozenset()
        return self._listed


LOOKUPS = Lookups()
