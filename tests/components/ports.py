"""Ports of loopback for servers of the tests."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import socket
import tempfile
from pathlib import Path

_SLICES, _SIZE = 16, 700
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class _Slice:
    """The ports that this process alone gives out: below those of outgoing connections, which take any that is free."""

    def __init__(self) -> None:
        first = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32768
        folder = Path(tempfile.gettempdir()) / "cloudos-test-ports"
        folder.mkdir(exist_ok=True)
        for number in range(_SLICES):
            self._lock = (folder / str(number)).open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.close()
                continue
            start = first - (number + 1) * _SIZE
            self._ports = itertools.cycle(range(start, start + _SIZE))
            return
        raise RuntimeError(f"{_SLICES} test runs hold all ports: end some")

    def free(self, count: int) -> list[int]:
        """Return the next ports that nobody uses for TCP or UDP."""
        found: list[int] = []
        for port in itertools.islice(self._ports, _SIZE):
            with contextlib.ExitStack() as stack:
                tcp = stack.enter_context(socket.socket())
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                with contextlib.suppress(OSError):
                    tcp.bind(("127.0.0.1", port))
                    udp.bind(("127.0.0.1", port))
                    found.append(port)
            if len(found) == count:
                return found
        raise RuntimeError(f"{count} free ports are needed, and {len(found)} are")


_slice: _Slice | None = None


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses now, nor will until they are used up: for TCP and UDP alike."""
    global _slice
    _slice = _slice or _Slice()
    return _slice.free(count)


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]
