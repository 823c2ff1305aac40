"""Stops other programs and starts them again: by systemd, or by signal and command line."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass

from cloudos_proxy.ports.owners import OwnerProgram

STOP_SECONDS = 15.0
_SYSTEMCTL_SECONDS = 90


class StopFailed(Exception):
    """A program did not stop or start; the message is its output."""


@dataclass(frozen=True)
class Systemd:
    """systemd, by its command."""

    command: str = "systemctl"

    def is_enabled(self, unit: str) -> bool:
        """Return whether a unit is enabled. Blocks."""
        return self._run("is-enabled", "--quiet", unit).returncode == 0

    def stop(self, unit: str) -> None:
        """Stop a unit, and have it start no more with the machine. Raises StopFailed. Blocks."""
        self._must("disable", "--now", unit)

    def start(self, unit: str, *, enable: bool) -> None:
        """Start a unit and enable it again if it was enabled. Raises StopFailed. Blocks."""
        self._must(*(("enable", "--now") if enable else ("start",)), unit)

    def _must(self, *arguments: str) -> None:
        done = self._run(*arguments)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise StopFailed(f"systemctl {' '.join(arguments)} failed: {said[-300:]}")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self.command, *arguments], capture_output=True, text=True, timeout=_SYSTEMCTL_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StopFailed(f"systemctl {' '.join(arguments)}: {error}") from None


def stop_process(pid: int) -> None:
    """Ask a process and those it started to end, and wait until they have. Raises StopFailed. Blocks."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGTERM)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise StopFailed(f"this node may not end the process {pid}; run it as root, or end it yourself") from None
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    if alive:
        raise StopFailed(f"the process {alive[0].pid} does not end within {STOP_SECONDS:.0f} s of SIGTERM")


def start_program(program: OwnerProgram) -> None:
    """Start a program as it was started before, on its own. Raises StopFailed. Blocks for a second."""
    root = os.geteuid() == 0
    with tempfile.TemporaryFile() as said:
        try:
            started = subprocess.Popen(
                program.argv,
                cwd=program.folder,
                env=program.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
                user=program.user if root else None,
                group=program.group if root else None,
            )
        except OSError as error:
            raise StopFailed(f"{program.argv[0]} does not start: {error}") from None
        try:
            code = started.wait(1.0)
        except subprocess.TimeoutExpired:
            return
        if code:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()[-300:]
            raise StopFailed(f"{program.argv[0]} ended at once, with code {code}: {words}")
