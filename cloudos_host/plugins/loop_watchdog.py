"""Names the plugin that holds the event loop: while it does, nobody is answered."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cloudos_host.plugins.registry import PluginRecord

_EVERY = 0.1
_TOLD_AGAIN = 60.0


@dataclass(frozen=True)
class Hold:
    """A time in which a plugin's code held the loop: seconds, and the innermost place in the plugin."""

    plugin: str
    seconds: float
    place: str


class LoopWatchdog:
    """A thread that looks ten times a second whether the loop still turns; tells a hold of `limit` seconds or more."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        plugin_of: Callable[[str], str | None],
        told: Callable[[Hold], None],
        *,
        limit: float = 0.25,
    ) -> None:
        self._loop = loop
        self._plugin_of = plugin_of
        self._told = told
        self._limit = limit
        self._beaten = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.get_ident()

    def start(self) -> None:
        """Begin to look. Called on the loop."""
        self._beat()
        threading.Thread(target=self._look, name="loop-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop looking."""
        self._ended.set()

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        if not self._ended.is_set():
            self._loop.call_later(_EVERY, self._beat)

    def _look(self) -> None:
        held: tuple[str, str] | None = None
        since = 0.0
        while not self._ended.wait(_EVERY / 2):
            beaten = self._beaten
            if held is not None and beaten != since:
                self._tell(Hold(held[0], beaten - since, held[1]))
                held = None
            if held is None and time.monotonic() - beaten > self._limit + _EVERY:
                held, since = self._holder(), beaten

    def _tell(self, hold: Hold) -> None:
        if not self._ended.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._told, hold)

    def _holder(self) -> tuple[str, str] | None:
        frame: FrameType | None = sys._current_frames().get(self._thread)
        while frame is not None:
            plugin = self._plugin_of(frame.f_code.co_filename)
            if plugin is not None:
                name = Path(frame.f_code.co_filename).name
                return plugin, f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
            frame = frame.f_back
        return None


class Holds:
    """Logs holds, one a minute for each plugin, and counts those of a second or more into the plugin's health."""

    def __init__(self, records: Iterable[PluginRecord], log: Any) -> None:
        self._records = {record.id: record for record in records}
        self._log = log
        self._last: dict[str, float] = {}

    def plugin_of(self, filename: str) -> str | None:
        """Return the plugin whose package a file lies in, or None."""
        for record in self._records.values():
            file = getattr(record.module, "__file__", None)
            if file is not None and (filename == file or filename.startswith(f"{Path(file).parent}/")):
                return record.id
        return None

    def told(self, hold: Hold) -> None:
        """Log a hold, and count a long one."""
        record = self._records[hold.plugin]
        if hold.seconds >= 1 and record.context is not None:
            record.context.faults.note(hold.place, f"it held the event loop for {hold.seconds:.1f} s")
        now = time.monotonic()
        if now - self._last.get(hold.plugin, -_TOLD_AGAIN) >= _TOLD_AGAIN:
            self._last[hold.plugin] = now
            self._log.warning(
                "plugin held the event loop", plugin=hold.plugin, seconds=round(hold.seconds, 2), place=hold.place
            )
