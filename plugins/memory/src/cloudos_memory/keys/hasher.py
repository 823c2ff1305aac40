"""bcrypt in two threads of its own: a bearer has 34 bytes of ASCII, well within its 72."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor


class Hasher:
    """Hashes and checks bearers without holding the event loop."""

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="mcp-bcrypt")

    async def hash(self, bearer: str) -> str:
        """Return a hash to store."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hash, bearer)

    async def matches(self, bearer: str, hashed: str) -> bool:
        """Return whether a bearer matches a hash."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._matches, bearer, hashed)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False)

    def _hash(self, bearer: str) -> str:
        import bcrypt

        return bcrypt.hashpw(bearer.encode(), bcrypt.gensalt(self._cost)).decode()

    def _matches(self, bearer: str, hashed: str) -> bool:
        import bcrypt

        return bcrypt.checkpw(bearer.encode(), hashed.encode())
