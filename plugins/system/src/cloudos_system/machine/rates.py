"""Rates per second from counters; a reset, wrapped or replaced counter gives no rate instead of a spike."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SHORTEST = 0.2  # seconds below which a rate is noise
_BASE = 1.0  # seconds after which a reading becomes the one that the next is compared with


@dataclass(frozen=True)
class Counter:
    """A running total. `identity` changes when the thing that counts is replaced; `limit` is its fastest rate."""

    total: float
    identity: Hashable = None
    limit: float = float("inf")


class CounterRates(Generic[K]):
    """Turns totals of successive readings into rates."""

    def __init__(self) -> None:
        self._base: tuple[float, Mapping[K, Counter]] | None = None

    def take(self, moment: float, counters: Mapping[K, Counter]) -> dict[K, float]:
        """Return the rates since the reading before; `moment` is in seconds that never go back."""
        base = self._base
        passed = moment - base[0] if base is not None else 0.0
        if base is None or passed >= _BASE:
            self._base = (moment, counters)
        if base is None or passed < _SHORTEST:
            return {}
        rates: dict[K, float] = {}
        for key, now in counters.items():
            before = base[1].get(key)
            if before is None or before.identity != now.identity or now.total < before.total:
                continue
            rate = (now.total - before.total) / passed
            if rate <= now.limit:
                rates[key] = rate
        return rates
