"""MCP keys: made, listed, revoked and rotated by their owner; followed when the owner changes."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import orjson
from cloudos_sdk import (
    Conflict,
    Context,
    Envelope,
    Forbidden,
    NotFound,
    Principal,
    Role,
    TooManyRequests,
    new_id,
)
from cloudos_sdk.capabilities import Users
from sqlalchemy import delete, func, select, update
from sqlmodel import Session as Db

from cloudos_memory.keys.authenticator import ALPHABET, LENGTH, PREFIX, SHOWN, KeyAuthenticator
from cloudos_memory.keys.cache import HeldKey, KeyCache, as_of_now, held
from cloudos_memory.keys.events import told_made, told_revoked
from cloudos_memory.keys.hasher import Hasher
from cloudos_memory.models import Key
from cloudos_memory.schemas import KeyCreatedOut, KeyOut, NewKey

_TABLE = Key.__table__
_FLUSH = 30.0
_AT_ONCE = 3
"""Keys of one user that may be under way: each costs a quarter of a second of bcrypt, in the queue of all."""
_KEPT = timedelta(days=90)


class KeyService:
    """The keys of every user. `ended` is called with the id of each key that holds no longer."""

    def __init__(self, ctx: Context, ring: KeyCache, hasher: Hasher, bearers: KeyAuthenticator) -> None:
        self._ctx = ctx
        self._ring = ring
        self._hasher = hasher
        self._bearers = bearers
        self.ended: Callable[[str], None] = lambda key_id: None
        self._making: Counter[str] = Counter()

    async def load(self) -> None:
        """Read all keys into memory."""
        for row in await self._ctx.db.read(lambda db: list(db.scalars(select(Key)))):
            self._put(row)

    async def create(self, owner: Principal, wanted: NewKey) -> KeyCreatedOut:
        """Make a key; its bearer is in the answer and nowhere else. Raises Conflict over the limit of a user."""
        if len(self._ring.of(owner.user_id)) + self._making[owner.user_id] >= self._ctx.settings.keys.max_per_user:
            raise _too_many()
        return await self._make(owner, wanted, None)

    async def rotate(self, owner: Principal, key_id: str) -> KeyCreatedOut:
        """Revoke a key and make another with its name, scopes, namespace and expiry window. Raises NotFound."""
        old = self._mine(owner, key_id)
        wanted = NewKey(
            name=old.name,
            client_type=old.client_type,
            namespace=old.namespace,
            scopes=list(old.scopes),
            namespaces_read=list(old.namespaces_read),
            expires_in_days=old.expires_in_days,
        )
        return await self._make(owner, wanted, old)

    async def revoke(self, owner: Principal, key_id: str) -> None:
        """Revoke a key, as an admin anybody's; it is refused from the next request on and its open streams end now.

        Raises NotFound.
        """
        key = self._mine(owner, key_id, admins=True)
        now = self._ctx.clock.now()

        def store(db: Db) -> None:
            if self._mark_revoked(db, key.id, now):
                self._ctx.events.emit(db, told_revoked(key))
            self._ctx.db.after_commit(db, lambda: self._end(key.id, now))

        await self._ctx.db.write(store)

    def list(self, user_id: str) -> list[KeyOut]:
        """Return a user's keys, newest first."""
        return [self._shown(key) for key in self._ring.of(user_id)]

    def follow_authority(self, user_id: str) -> None:
        """Update the rights of a user's keys to the user's current rights."""
        for key in self._ring.of(user_id):
            now = self._now(key)
            self._ring.put(now)
            if now.suspended and not key.suspended:
                self.ended(key.id)

    async def follow_owner(self, event: Envelope) -> None:
        """Follow a change of a user: a deleted one's keys end, a disabled one's rest, a role narrows them."""
        if event.type == "user.deleted":
            now = self._ctx.clock.now()

            def revoke_all(db: Db) -> None:
                mine = (_TABLE.c.user_id == event.resource) & _TABLE.c.revoked_at.is_(None)
                for row in db.scalars(select(Key).where(mine)).all():
                    key = held(row)
                    if self._mark_revoked(db, key.id, now):
                        self._ctx.events.emit(db, told_revoked(key))
                    self._ctx.db.after_commit(db, partial(self._end, key.id, now))

            await self._ctx.db.write(revoke_all)
            return
        changed = {"role": event.data["role"], "suspended": event.data["disabled"]}

        def store(db: Db) -> None:
            db.execute(update(Key).where(_TABLE.c.user_id == event.resource).values(**changed))
            for row in db.scalars(select(Key).where(_TABLE.c.user_id == event.resource)).all():
                self._ctx.db.after_commit(db, partial(self._follow, row))

        await self._ctx.db.write(store)

    async def prune(self) -> None:
        """Delete the keys that were revoked, or expired, long ago."""
        before = self._ctx.clock.now() - _KEPT
        gone = (_TABLE.c.revoked_at < before) | (_TABLE.c.expires_at < before)

        def remove(db: Db) -> None:
            ids = list(db.scalars(select(_TABLE.c.id).where(gone)))
            db.execute(delete(Key).where(_TABLE.c.id.in_(ids)))
            for id in ids:
                self._ctx.db.after_commit(db, partial(self._ring.drop, id))

        await self._ctx.db.write(remove)

    async def store_use(self) -> None:
        """Store when keys were used last."""
        used, self._bearers.used = self._bearers.used, {}
        if not used:
            return

        def store(db: Db) -> None:
            for id, at in used.items():
                db.execute(update(Key).where(_TABLE.c.id == id).values(last_used_at=at))
            for row in db.scalars(select(Key).where(_TABLE.c.id.in_(used))).all():
                self._ctx.db.after_commit(db, partial(self._put, row))

        try:
            await self._ctx.db.write(store)
        except BaseException:
            self._bearers.used = {**used, **self._bearers.used}
            raise

    async def store_use_for_ever(self) -> None:
        """Store twice a minute when keys were used last."""
        while True:
            await self._ctx.clock.sleep(_FLUSH)
            await self.store_use()

    async def _make(self, owner: Principal, wanted: NewKey, replaced: HeldKey | None) -> KeyCreatedOut:
        raw = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        hashed = await self._hash(owner, raw)
        now = self._ctx.clock.now()
        row = Key(
            id=new_id("key"),
            user_id=owner.user_id,
            name=wanted.name,
            client_type=wanted.client_type,
            namespace=wanted.namespace,
            scopes=orjson.dumps(wanted.scopes).decode(),
            namespaces_read=orjson.dumps(sorted(set(wanted.namespaces_read or ()))).decode(),
            key_prefix=raw[:SHOWN],
            hash=hashed,
            role=owner.role.value,
            suspended=False,
            expires_in_days=wanted.expires_in_days,
            created_at=now,
            expires_at=now + timedelta(days=wanted.expires_in_days) if wanted.expires_in_days else None,
        )
        key, digest = held(row), self._ctx.secrets.digest(raw)

        def store(db: Db) -> None:
            self._still_may_write(owner)
            if replaced is not None and not self._mark_revoked(db, replaced.id, now):
                raise self._no_key(replaced.id)
            mine = (_TABLE.c.user_id == owner.user_id) & _TABLE.c.revoked_at.is_(None)
            held_now = db.scalar(select(func.count()).select_from(_TABLE).where(mine)) or 0
            if held_now >= self._ctx.settings.keys.max_per_user:
                raise _too_many()
            db.add(row)
            self._ctx.events.emit(db, told_made(key, replaced))
            self._ctx.db.after_commit(db, hold)

        def hold() -> None:
            self._ring.put(self._now(key))
            self._ring.remember(digest, key.id)
            if replaced is not None:
                self._end(replaced.id, now)

        await self._ctx.db.write(store)
        return KeyCreatedOut(raw=raw, **self._shown(key).model_dump(exclude={"created_at", "last_used_at"}))

    async def _hash(self, owner: Principal, raw: str) -> str:
        """Return the hash of a bearer. Raises TooManyRequests if the user has too many hashes under way."""
        if self._making[owner.user_id] >= _AT_ONCE:
            raise TooManyRequests("Your other keys are still being made; try again in a moment.", retry_after=1)
        self._making[owner.user_id] += 1
        try:
            return await self._hasher.hash(raw)
        finally:
            self._making[owner.user_id] -= 1
            if not self._making[owner.user_id]:
                del self._making[owner.user_id]

    def _mine(self, owner: Principal, key_id: str, *, admins: bool = False) -> HeldKey:
        key = self._ring.get(key_id)
        mine = key is not None and (key.user_id == owner.user_id or (admins and owner.role is Role.ADMIN))
        if key is None or not mine or key.revoked_at is not None:
            raise self._no_key(key_id)
        return key

    def _put(self, row: Key) -> None:
        self._ring.put(self._now(held(row)))

    def _follow(self, row: Key) -> None:
        before = self._ring.get(row.id)
        self._put(row)
        after = self._ring.get(row.id)
        if after is not None and after.suspended and (before is None or not before.suspended):
            self.ended(row.id)

    def _now(self, key: HeldKey) -> HeldKey:
        """Return a key with its owner's current rights, if they are known."""
        users = self._ctx.find(Users)
        return key if users is None else as_of_now(key, users.find(key.user_id))

    def _still_may_write(self, owner: Principal) -> None:
        """Raise Forbidden if the owner was deleted, disabled or demoted during bcrypt.

        In the transaction, so that what follows the owner's change finds either the key or nothing.
        """
        users = self._ctx.find(Users)
        if users is None:
            return
        person = users.find(owner.user_id)
        if person is None or not person.role.includes(Role.OPERATOR):
            raise Forbidden("You may not make MCP keys any more.", code="role_changed")

    def _no_key(self, key_id: str) -> NotFound:
        return NotFound("key", key_id, message=f"You have no MCP key {key_id[:40]!r}.")

    def _end(self, key_id: str, now: datetime) -> None:
        self._ring.revoke(key_id, now)
        self.ended(key_id)

    def _mark_revoked(self, db: Db, key_id: str, now: datetime) -> bool:
        fresh = (_TABLE.c.id == key_id) & _TABLE.c.revoked_at.is_(None)
        return db.connection().execute(update(_TABLE).where(fresh).values(revoked_at=now)).rowcount == 1

    def _shown(self, key: HeldKey) -> KeyOut:
        return KeyOut(
            id=key.id,
            name=key.name,
            client_type=key.client_type,
            namespace=key.namespace,
            scopes=list(key.scopes),
            key_prefix=key.key_prefix,
            expires_at=key.expires_at,
            namespaces_read=list(key.namespaces_read),
            created_at=key.created_at,
            last_used_at=self._bearers.used.get(key.id, key.last_used_at),
        )


def _too_many() -> Conflict:
    return Conflict("too_many_keys", "You have as many MCP keys as one user may have; revoke one first.")
