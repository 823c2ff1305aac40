"""A queue for bcrypt: one turn for each address, known addresses first.

Those that are known wait in a queue of their own, which no crowd of others fills.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from cloudos_sdk import TooManyRequests

_MOST_WAITING = 1000
_MOST_OF_ONE = 20

_Queue = OrderedDict[str, deque[asyncio.Future[None]]]


class BcryptQueue:
    """Gives so many places at a time."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._known: _Queue = OrderedDict()
        self._others: _Queue = OrderedDict()

    async def take(self, share: str, *, known: bool = False) -> None:
        """Wait for a place; `give_back` returns it. Raises TooManyRequests if too many wait."""
        if self._free and not self._known and not self._others:
            self._free -= 1
            return
        queue = self._known if known else self._others
        if len(queue.get(share, ())) >= _MOST_OF_ONE or sum(map(len, queue.values())) >= _MOST_WAITING:
            raise TooManyRequests("Too many wait for the same; try again in a moment.", retry_after=2)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.setdefault(share, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Pass the place to the next waiter."""
        for queue in (self._known, self._others):
            while queue:
                share, mine = next(iter(queue.items()))
                turn = mine.popleft()
                if mine:
                    queue.move_to_end(share)
                else:
                    del queue[share]
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
