"""The state of the process that belongs to no plugin: signals, the log's level and Quart's classes."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from quart import Blueprint, Quart, Request, Response

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CLASSES = (Quart, Blueprint, Request, Response)


class ProcessState:
    """A snapshot of what plugins may not change for everybody."""

    def __init__(self) -> None:
        self._signals = {number: signal.getsignal(number) for number in _SIGNALS}
        self._level = (logging.root.level, logging.root.manager.disable)
        self._attributes = {kind: dict(vars(kind)) for kind in _CLASSES}

    def restore(self) -> list[str]:
        """Put back what was changed, and return the names of it. Signals are looked at in the main thread only."""
        changed = self._restore_signals() if threading.current_thread() is threading.main_thread() else []
        if self._level != (logging.root.level, logging.root.manager.disable):
            logging.root.setLevel(self._level[0])
            logging.disable(self._level[1])
            changed.append("the level of the log")
        for kind, attributes in self._attributes.items():
            changed += [f"{kind.__name__}.{name}" for name in _restore_class(kind, attributes)]
        return changed

    def _restore_signals(self) -> list[str]:
        changed = [number for number, handler in self._signals.items() if signal.getsignal(number) is not handler]
        for number in changed:
            signal.signal(number, self._signals[number])
        return [f"the handler of {number.name}" for number in changed]


def _restore_class(kind: type[Any], before: dict[str, Any]) -> list[str]:
    now = dict(vars(kind))
    changed = [name for name in before if name not in now or now[name] is not before[name]]
    added = [name for name in now if name not in before]
    for name in changed:
        if name not in ("__dict__", "__weakref__", "__doc__"):
            setattr(kind, name, before[name])
    for name in added:
        delattr(kind, name)
    return sorted({*changed, *added})
