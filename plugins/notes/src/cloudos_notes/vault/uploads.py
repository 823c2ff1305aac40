"""Archives on their way in: each user has a few places, and an upload has no longer than its bytes are worth."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from cloudos_sdk import TooManyRequests
from werkzeug.exceptions import RequestTimeout

_OF_A_USER = 2
_AT_ONCE = 8
PATIENCE = 60.0
LEAST_RATE = 16 * 1024.0


class Uploads:
    """Limits concurrent uploads."""

    def __init__(self) -> None:
        self._users: Counter[str] = Counter()

    @contextmanager
    def place(self, user: str) -> Iterator[None]:
        """Hold a place during an upload. Raises TooManyRequests if the user or the node has none left."""
        if self._users[user] >= _OF_A_USER or self._users.total() >= _AT_ONCE:
            raise TooManyRequests("Too many archives come in at once; wait until one is there.", retry_after=10)
        self._users[user] += 1
        try:
            yield
        finally:
            self._users[user] -= 1
            if not self._users[user]:
                del self._users[user]


async def in_time(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts of a body. Raises RequestTimeout (408) if it is slower than `LEAST_RATE` overall.

    The time is that of the whole body, so that a byte now and then does not buy more of it.
    """
    until = asyncio.get_running_loop().time() + PATIENCE
    parts = aiter(body)
    while True:
        try:
            async with asyncio.timeout_at(until):
                part = await anext(parts, None)
        except TimeoutError:
            raise RequestTimeout() from None
        if part is None:
            return
        until += len(part) / LEAST_RATE
        yield part
