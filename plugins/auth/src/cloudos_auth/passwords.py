"""bcrypt in two threads of its own; SHA-256 first, since bcrypt takes 72 bytes at most."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from cloudos_auth.bcrypt_queue import BcryptQueue

T = TypeVar("T")

_THREADS = 2


class Passwords:
    """Hashes and checks passwords without holding the event loop."""

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="bcrypt")
        self._turns = BcryptQueue(_THREADS)

    async def hash(self, password: str, *, share: str = "", known: bool = False) -> str:
        """Return a hash to store. `share` is the caller's key in the queue; `known` callers come first."""
        return await self._slow(share, known, self._hash, password)

    async def check(self, password: str, hashed: str | None, *, share: str = "", known: bool = False) -> bool:
        """Return whether the password matches; equally slow for an unknown user (None). `known` callers come first."""
        return await self._slow(share, known, self._check, password, hashed)

    async def _slow(self, share: str, known: bool, fn: Callable[..., T], *args: Any) -> T:
        await self._turns.take(share, known=known)
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, partial(fn, *args))
        except BaseException:
            self._turns.give_back()
            raise
        work.add_done_callback(lambda _: self._turns.give_back())  # not before: a caller who goes leaves it at work
        return await asyncio.shield(work)

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
