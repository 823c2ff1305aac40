"""bcrypt in two threads of its own; SHA-256 first, since bcrypt takes 72 bytes at most."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor


class Passwords:
    """Hashes and checks passwords without holding the event loop."""

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="bcrypt")

    async def hash(self, password: str) -> str:
        """Return a hash to store."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hash, password)

    async def check(self, password: str, hashed: str | None) -> bool:
        """Tell whether it is the password; as slow for a user who does not exist (None)."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._check, password, hashed)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False)

    def _hash(self, password: str) -> str:
        import bcrypt

        return bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._cost)).decode()

    def _check(self, password: str, hashed: str | None) -> bool:
        import bcrypt

        nobody = bcrypt.gensalt(self._cost) + b"." * 31  # has the form of a hash, and no password that is known
        same = bcrypt.checkpw(_digest(password), nobody if hashed is None else hashed.encode())
        return same and hashed is not None


def _digest(password: str) -> bytes:
    return base64.b64encode(hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest())
