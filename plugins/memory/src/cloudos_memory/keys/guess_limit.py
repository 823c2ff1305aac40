"""How many bearers an address may have checked: each costs a quarter of a second of bcrypt, and its sender nothing."""

from __future__ import annotations

from collections import Counter, deque

from cloudos_sdk import TooManyRequests
from cloudos_sdk.addresses import address_share

_AT_ONCE = 2
_MOST_AT_ONCE = 64
_WRONG = 20
_WINDOW = 60.0
_MOST_KNOWN = 4096


class GuessLimit:
    """Limits concurrent key checks per address, so that guessing delays only the guesser."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._wrong: dict[str, deque[float]] = {}

    def take(self, address: str | None, now: float) -> str:
        """Reserve one check for an address and return its key. Raises TooManyRequests if none is left."""
        share = address_share(address or "")
        wrong = self._recent(share, now)
        if len(wrong) >= _WRONG:
            wait = int(wrong[0] + _WINDOW - now) + 1
            raise TooManyRequests("Too many wrong keys came from this address; wait a little.", retry_after=wait)
        if self._waiting[share] >= _AT_ONCE or self._waiting.total() >= _MOST_AT_ONCE:
            raise TooManyRequests("Too many keys wait to be checked.", retry_after=1)
        self._waiting[share] += 1
        return share

    def give_back(self, share: str, now: float, *, wrong: bool) -> None:
        """Give a place back; a wrong bearer is held against the address for a minute."""
        self._waiting[share] -= 1
        if not self._waiting[share]:
            del self._waiting[share]
        if wrong:
            self._remember(share, now)

    def _recent(self, share: str, now: float) -> deque[float]:
        wrong = self._wrong.get(share, deque())
        while wrong and wrong[0] <= now - _WINDOW:
            wrong.popleft()
        return wrong

    def _remember(self, share: str, now: float) -> None:
        wrong = self._wrong.pop(share, deque(maxlen=_WRONG))
        wrong.append(now)
        self._wrong[share] = wrong
        if len(self._wrong) > _MOST_KNOWN:
            del self._wrong[next(iter(self._wrong))]
