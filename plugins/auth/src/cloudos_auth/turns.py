"""Turns at slow work: each address in its turn, those that are known first, so that nobody waits behind a crowd."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from cloudos_sdk import TooManyRequests

_MOST_WAITING = 1000
_MOST_OF_ONE = 20

_Queue = OrderedDict[str, deque[asyncio.Future[None]]]


class Turns:
    """Gives so many places at a time."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._known: _Queue = OrderedDict()
        self._others: _Queue = OrderedDict()
        self._waiting = 0

    async def take(self, share: str, *, known: bool = False) -> None:
        """Take a place in turn; `give_back` returns it. Raises TooManyRequests where too many wait."""
        if self._free and not self._waiting:
            self._free -= 1
            return
        queue = self._known if known else self._others
        mine = queue.setdefault(share, deque())
        if len(mine) >= _MOST_OF_ONE or self._waiting >= _MOST_WAITING:
            raise TooManyRequests("Too many wait for the same; try again in a moment.", retry_after=2)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine.append(turn)
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give the place to whoever is next."""
        for queue in (self._known, self._others):
            while queue:
                share, mine = next(iter(queue.items()))
                turn = mine.popleft()
                self._waiting -= 1
                if mine:
                    queue.move_to_end(share)
                else:
                    del queue[share]
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
