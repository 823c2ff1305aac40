"""The end of a stop: the process ends in time, whatever a task, a thread or a lifespan does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import Any

_MARGIN = 5.0


class StopWatchdog:
    """Ends the process some seconds after the limit of a stop, and logs what was still running."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float, log: Any) -> None:
        self._loop = loop
        self._limit = limit + _MARGIN
        self._log = log

    def begin(self) -> None:
        """Start to count. It counts on through the interpreter's own end, which waits for threads."""
        timer = threading.Timer(self._limit, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        self._log.error(
            f"the stop took longer than {self._limit:g} s; the process ends now",
            tasks=running_tasks(self._loop),
            threads=running_threads(),
        )
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(1)


def running_tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Return the names of the tasks that a plugin or the host named. Callable from any thread."""
    for _ in range(3):
        try:
            return sorted(task.get_name() for task in asyncio.all_tasks(loop) if ":" in task.get_name())
        except RuntimeError:  # the set changed while it was read
            continue
    return []


def running_threads() -> list[str]:
    """Return the threads that Python waits for at its end, with the place where each is."""
    frames = sys._current_frames()
    found = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread is not threading.current_thread() and (thread is threading.main_thread() or not thread.daemon):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"
            found.append(f"{thread.name} at {place}")
    return found
