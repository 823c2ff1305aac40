"""MCP keys: made, listed, revoked and rotated by their owner; followed when the owner changes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import orjson
from cloudos_sdk import Conflict, Context, Envelope, Event, NotFound, Principal, new_id
from cloudos_sdk.capabilities import BearerAuthenticator
from sqlalchemy import delete, select, update
from sqlmodel import Session as Db

from cloudos_memory.bearers import ALPHABET, LENGTH, PREFIX, SHOWN, KeyBearers
from cloudos_memory.events import McpKeyCreated, McpKeyRevoked, McpKeyRotated
from cloudos_memory.hashing import Hasher
from cloudos_memory.keyring import HeldKey, KeyRing, held
from cloudos_memory.models import Key
from cloudos_memory.schemas import KeyCreatedOut, KeyOut, NewKey

_TABLE = Key.__table__
_FLUSH = 30.0
_KEPT = timedelta(days=90)


class Keys:
    """The keys of every user. `ended` is called with the id of each key that holds no longer."""

    def __init__(self, ctx: Context, ring: KeyRing, hasher: Hasher, bearers: KeyBearers) -> None:
        self._ctx = ctx
        self._ring = ring
        self._hasher = hasher
        self._bearers = bearers
        self.ended: Callable[[str], None] = lambda key_id: None

    async def load(self) -> None:
        """Read all keys into memory."""
        for row in await self._ctx.db.read(lambda db: list(db.scalars(select(Key)))):
            self._ring.put(held(row))

    async def create(self, owner: Principal, wanted: NewKey) -> KeyCreatedOut:
        """Make a key; its bearer is in the answer and nowhere else. Raises Conflict over the limit of a user."""
        if len(self._ring.of(owner.user_id)) >= self._ctx.settings.keys.max_per_user:
            raise Conflict("too_many_keys", "You have as many MCP keys as one user may have; revoke one first.")
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
        """Revoke a key; it is refused from the next request on and its open streams end now. Raises NotFound."""
        key = self._mine(owner, key_id)
        now = self._ctx.clock.now()

        def store(db: Db) -> None:
            if self._mark_revoked(db, key.id, now):
                self._ctx.events.emit(db, _told_revoked(key))

        self._end(key.id, now)
        await self._ctx.db.write(store)

    def list(self, owner: Principal) -> list[KeyOut]:
        """Return the owner's keys, newest first."""
        return [self._shown(key) for key in self._ring.of(owner.user_id)]

    async def follow_owner(self, event: Envelope) -> None:
        """Follow a change of a user: a deleted one's keys end, a disabled one's rest, a role narrows them."""
        mine = [key for key in self._ring.of(event.resource)]
        if not mine:
            return
        if event.type == "user.deleted":
            now = self._ctx.clock.now()

            def revoke_all(db: Db) -> None:
                for key in mine:
                    if self._mark_revoked(db, key.id, now):
                        self._ctx.events.emit(db, _told_revoked(key))

            for key in mine:
                self._end(key.id, now)
            await self._ctx.db.write(revoke_all)
            return
        changed = {"role": event.data["role"], "suspended": event.data["disabled"]}

        def store(db: Db) -> list[Key]:
            db.execute(update(Key).where(_TABLE.c.user_id == event.resource).values(**changed))
            return list(db.scalars(select(Key).where(_TABLE.c.user_id == event.resource)))

        for row in await self._ctx.db.write(store):
            self._ring.put(held(row))
            if row.suspended:
                self.ended(row.id)

    async def prune(self) -> None:
        """Delete the keys that were revoked, or expired, long ago."""
        before = self._ctx.clock.now() - _KEPT
        gone = (_TABLE.c.revoked_at < before) | (_TABLE.c.expires_at < before)

        def remove(db: Db) -> list[str]:
            ids = list(db.scalars(select(_TABLE.c.id).where(gone)))
            db.execute(delete(Key).where(_TABLE.c.id.in_(ids)))
            return ids

        for id in await self._ctx.db.write(remove):
            self._ring.drop(id)

    async def store_use(self) -> None:
        """Store when keys were used last."""
        used, self._bearers.used = self._bearers.used, {}
        if not used:
            return

        def store(db: Db) -> list[Key]:
            for id, at in used.items():
                db.execute(update(Key).where(_TABLE.c.id == id).values(last_used_at=at))
            return list(db.scalars(select(Key).where(_TABLE.c.id.in_(used))))

        for row in await self._ctx.db.write(store):
            self._ring.put(held(row))

    async def store_use_for_ever(self) -> None:
        """Store twice a minute when keys were used last."""
        while True:
            await self._ctx.clock.sleep(_FLUSH)
            await self.store_use()

    async def _make(self, owner: Principal, wanted: NewKey, replaced: HeldKey | None) -> KeyCreatedOut:
        raw = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        hashed = await self._hasher.hash(raw)
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
            if replaced is not None and not self._mark_revoked(db, replaced.id, now):
                raise self._no_key(replaced.id)
            db.add(row)
            self._ctx.events.emit(db, _told_made(key, replaced))
            self._ctx.db.after_commit(db, hold)

        def hold() -> None:
            self._ring.put(key)
            self._ring.remember(digest, key.id)
            if replaced is not None:
                self._end(replaced.id, now)

        await self._ctx.db.write(store)
        return KeyCreatedOut(raw=raw, **self._shown(key).model_dump(exclude={"created_at", "last_used_at"}))

    def _mine(self, owner: Principal, key_id: str) -> HeldKey:
        key = self._ring.get(key_id)
        if key is None or key.user_id != owner.user_id or key.revoked_at is not None:
            raise self._no_key(key_id)
        return key

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


def _told_made(key: HeldKey, replaced: HeldKey | None) -> Event:
    if replaced is not None:
        details = f"Rotated the MCP key {key.name}"
        return McpKeyRotated(resource=key.id, details=details, name=key.name, replaced=replaced.id)
    details = f"Made the MCP key {key.name} for the namespace {key.namespace}"
    return McpKeyCreated(
        resource=key.id, details=details, name=key.name, namespace=key.namespace, scopes=list(key.scopes)
    )


def _told_revoked(key: HeldKey) -> McpKeyRevoked:
    return McpKeyRevoked(resource=key.id, details=f"Revoked the MCP key {key.name}", name=key.name)


@asynccontextmanager
async def keeping_keys(ctx: Context) -> AsyncIterator[None]:
    """Know the keys and who brings them."""
    hasher, ring = Hasher(ctx.settings.keys.bcrypt_cost), KeyRing()
    bearers = KeyBearers(ctx, ring, hasher)
    keys = Keys(ctx, ring, hasher, bearers)
    await keys.load()
    ctx.provide(Keys, keys)
    ctx.provide(KeyRing, ring)
    ctx.provide(BearerAuthenticator, bearers)
    ctx.events.subscribe(keys.follow_owner, "user.changed", "user.deleted", name="key-owners")
    storing = asyncio.create_task(keys.store_use_for_ever(), name="memory:key-use")
    try:
        yield
    finally:
        storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
        await keys.store_use()
        hasher.close()
