"""Which containers were asked to stop: `docker stop` sends the image's stop signal first, `docker kill` SIGKILL."""

from __future__ import annotations

import re
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
        """Forget a container that restarted or was removed."""
        self._sent.pop(container, None)

    def take(self, container: str) -> Callable[[], Awaitable[bool]]:
        """Forget a container that died, and return whether it had been asked to stop."""
        sent = self._sent.pop(container, set())

        async def asked() -> bool:
            if not sent - {str(int(signal.SIGKILL))}:
                return False
            return str(signal_number(await self._stop_signal(container))) in sent

        return asked


def signal_number(name: str) -> int:
    """Return the number of a signal given as `SIGQUIT`, `QUIT`, `3` or `SIGRTMIN+3`; SIGTERM's if invalid."""
    plain = name.upper().removeprefix("SIG")
    if plain.isdigit():
        return int(plain)
    match = re.fullmatch(r"(RTMIN|RTMAX)([+-]\d{1,2})", plain)
    base, offset = (match[1], int(match[2])) if match else (plain, 0)
    try:
        return int(signal.Signals[f"SIG{base}"]) + offset
    except KeyError:
        return int(signal.SIGTERM)
