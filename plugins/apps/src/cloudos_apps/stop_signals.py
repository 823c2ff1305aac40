"""Which containers were asked to stop: `docker stop` sends the image's stop signal first, `docker kill` SIGKILL."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable


class StopSignals:
    """The signals that containers were sent and have not died of yet."""

    def __init__(self, stop_signal: Callable[[str], Awaitable[str]]) -> None:
        self._stop_signal = stop_signal
        self._sent: dict[str, set[str]] = {}

    def note(self, container: str, number: str) -> None:
        """Remember a signal, given by its number."""
        self._sent.setdefault(container, set()).add(number)

    def forget(self, container: str) -> None:
        """Forget a container: it started anew or is gone."""
        self._sent.pop(container, None)

    def take(self, container: str) -> Callable[[], Awaitable[bool]]:
        """Forget a container that died, and return what tells whether it had been asked to stop."""
        sent = self._sent.pop(container, set())

        async def asked() -> bool:
            if not sent - {str(int(signal.SIGKILL))}:
                return False
            return str(signal_number(await self._stop_signal(container))) in sent

        return asked


def signal_number(name: str) -> int:
    """Return the number of a signal given as `SIGQUIT`, `QUIT` or `3`; SIGTERM's where there is none of that name."""
    if name.isdigit():
        return int(name)
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        return int(signal.SIGTERM)
