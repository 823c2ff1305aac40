"""Authentication of MCP keys `quaz_…`: bcrypt once for each bearer and process, then from memory."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime

from cloudos_sdk import Context, Principal, Unauthenticated, iso

from cloudos_memory.keys.cache import HeldKey, KeyCache
from cloudos_memory.keys.guess_limit import GuessLimit
from cloudos_memory.keys.hasher import Hasher

PREFIX = "quaz_"
ALPHABET = "ABCDEFGHJKLMNPQRSTVWXYZ123456789"  # 32 letters; 0, I, O and U are easily taken for others
LENGTH = 29  # 145 random bits
SHOWN = len(PREFIX) + 7
_BEARER = re.compile(rf"Bearer ({PREFIX}[{ALPHABET}]{{{LENGTH}}})")


class KeyAuthenticator:
    """The authenticator of MCP keys. Verified bearers are remembered by a keyed hash only."""

    prefix = PREFIX

    def __init__(self, ctx: Context, ring: KeyCache, hasher: Hasher) -> None:
        self._clock = ctx.clock
        self._digest = ctx.secrets.digest
        self._ring = ring
        self._hasher = hasher
        self._guesses = GuessLimit()
        self._checking: dict[str, asyncio.Task[str | None]] = {}
        self.used: dict[str, datetime] = {}
        """When keys were used last; emptied by who stores it."""

    def recognise(self, authorization: str) -> Principal | None:
        """Return the caller of a header whose bearer was checked before, while its key holds."""
        if not authorization.startswith("Bearer quaz_"):
            return None
        key = self._ring.known(self._digest(authorization[7:]))
        now = self._clock.now()
        if key is None or not key.holds(now):
            return None
        self.used[key.id] = now
        return key.principal

    async def authenticate(self, authorization: str, address: str | None) -> Principal:
        """Return the principal of a header, verifying its bearer if it is not cached.

        Callers that come with one bearer at once share one check, which goes on when they give up.
        Raises Unauthenticated, and TooManyRequests where the address has more to be checked than is its share.
        """
        match = _BEARER.fullmatch(authorization)
        if match is None:
            raise Unauthenticated("This is not an MCP key.", code="key_invalid")
        bearer = match[1]
        digest = self._digest(bearer)
        known = self._ring.known(digest)
        key_id = known.id if known is not None else await asyncio.shield(self._check(digest, bearer, address))
        key = self._ring.get(key_id) if key_id is not None else None
        if key is None:
            raise Unauthenticated("This MCP key does not hold.", code="key_invalid")
        self._refuse(key)
        self._ring.remember(digest, key.id)
        self.used[key.id] = self._clock.now()
        return key.principal

    def _check(self, digest: str, bearer: str, address: str | None) -> asyncio.Task[str | None]:
        task = self._checking.get(digest)
        if task is not None:
            return task
        # a key has one bearer: where that is known by its digest, another needs no bcrypt to be wrong
        asked = [key for key in self._ring.candidates(bearer[:SHOWN]) if not self._ring.proven(key.id)]
        place = self._guesses.take(address, self._clock.monotonic()) if asked else None
        task = asyncio.create_task(self._find(bearer, asked, place), name="memory:check-key")
        self._checking[digest] = task
        task.add_done_callback(lambda _: self._checking.pop(digest, None))
        return task

    async def _find(self, bearer: str, asked: list[HeldKey], place: str | None) -> str | None:
        found, wrong = None, False
        try:
            for key in asked:
                if await self._hasher.matches(bearer, key.hash):
                    found = key.id
                    break
            wrong = found is None
        finally:
            if place is not None:
                self._guesses.give_back(place, self._clock.monotonic(), wrong=wrong)
        return found

    def _refuse(self, key: HeldKey) -> None:
        if key.revoked_at is not None:
            raise Unauthenticated("This MCP key was revoked.", code="key_revoked")
        if key.expires_at is not None and key.expires_at <= self._clock.now():
            raise Unauthenticated(f"This MCP key expired at {iso(key.expires_at)}.", code="key_expired")
        if key.suspended:
            raise Unauthenticated("The owner of this MCP key is disabled.", code="key_suspended")
