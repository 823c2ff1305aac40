"""API keys: for programs, narrowed to scopes, shown once and kept as a keyed hash."""

from __future__ import annotations

import asyncio
import difflib
import secrets
from datetime import datetime

import orjson
from cloudos_sdk import Context, InvalidRequest, NotFound, Principal, Unauthenticated, iso, new_id
from cloudos_sdk.capabilities import PermissionCatalogue
from sqlmodel import Session as Db
from sqlmodel import delete, update

from cloudos_auth.events import KeyCreated, KeyRevoked
from cloudos_auth.identity_cache import IdentityCache, program
from cloudos_auth.models import ApiKey
from cloudos_auth.schemas import KeyOut, NewKey
from cloudos_auth.users import still_admin

PREFIX = "qzr_"
_FLUSH = 30.0


class ApiKeys:
    """Makes, lists, revokes and recognises keys. When a key was last used is stored twice a minute at most."""

    def __init__(self, ctx: Context, directory: IdentityCache) -> None:
        self._ctx = ctx
        self._directory = directory
        self._used: dict[str, datetime] = {}
        self._flushing: asyncio.Task[None] | None = None

    async def create(self, owner: Principal, wanted: NewKey) -> tuple[ApiKey, str]:
        """Make a key; return it with its text, which is never shown again. Raises InvalidRequest for a scope."""
        known = self._ctx.use(PermissionCatalogue).permissions()
        for scope in wanted.scopes:
            if scope not in known:
                near = difflib.get_close_matches(scope[:100], known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
                raise InvalidRequest.field("scopes", f"there is no scope {scope[:100]!r}; {hint}")
        now = self._ctx.clock.now()
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise InvalidRequest.field("expires_at", "lies in the past")
        text = PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            id=new_id("key"),
            user_id=owner.user_id,
            name=wanted.name,
            digest=self._ctx.secrets.digest(text),
            scopes=orjson.dumps(sorted(set(wanted.scopes))).decode(),
            created_at=now,
            expires_at=wanted.expires_at,
        )
        details = f"Made the API key {wanted.name}"
        told = KeyCreated(resource=key.id, details=details, name=wanted.name, scopes=sorted(set(wanted.scopes)))

        def store(db: Db) -> None:
            still_admin(db, owner)
            db.add(key)
            self._ctx.events.emit(db, told)
            self._directory.mirror_key(db, key)

        await self._ctx.db.write(store)
        return self._directory.keys.get(key.digest, key), text

    async def revoke(self, key_id: str, user_id: str | None = None) -> None:
        """Revoke a key, only of `user_id` if given; refused from the next request on. Raises NotFound."""
        key = self._directory.key(key_id)
        if key is None or user_id not in (None, key.user_id):
            raise NotFound("key", key_id, code="key_not_found", message=f"There is no API key {key_id!r}.")

        def remove(db: Db) -> None:
            if db.connection().execute(delete(ApiKey).where(ApiKey.__table__.c.id == key_id)).rowcount == 1:
                told = KeyRevoked(resource=key_id, details=f"Revoked the API key {key.name}", name=key.name)
                self._ctx.events.emit(db, told)
            self._directory.mirror_key(db, key)

        await self._ctx.db.write(remove)

    def list(self, user_id: str | None = None) -> list[KeyOut]:
        """Return all keys, or those of a user, newest first, without their text."""
        wanted = [key for key in self._directory.keys.values() if user_id in (None, key.user_id)]
        return [self.shown(key) for key in sorted(wanted, key=lambda key: (key.created_at, key.id), reverse=True)]

    def shown(self, key: ApiKey) -> KeyOut:
        """Return a key as the API shows it."""
        owner = self._directory.users.get(key.user_id)
        return KeyOut(
            id=key.id,
            name=key.name,
            scopes=orjson.loads(key.scopes),
            user=owner.username if owner else "",
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=self._used.get(key.id, key.last_used_at),
        )

    def authenticate(self, header: str, text: str) -> Principal:
        """Return the caller of a key, and know its header from now on. Raises Unauthenticated."""
        key = self._directory.keys.get(self._ctx.secrets.digest(text))
        owner = self._directory.users.get(key.user_id) if key is not None else None
        if key is None or owner is None or owner.disabled:
            raise Unauthenticated("This API key does not hold.", code="key_invalid")
        if key.expires_at is not None and key.expires_at <= self._ctx.clock.now():
            raise Unauthenticated(f"This API key expired at {iso(key.expires_at)}.", code="key_expired")
        principal = program(key, owner)
        expires = key.expires_at.timestamp() if key.expires_at is not None else float("inf")
        self._directory.remember(header, principal, expires)
        self.note_use(key.id)
        return principal

    def note_use(self, key_id: str) -> None:
        """Note that a key was used now."""
        self._used[key_id] = self._ctx.clock.now()
        if self._flushing is None or self._flushing.done():
            self._flushing = self._ctx.tasks.start("use of keys", self._flush_later)

    async def close(self) -> None:
        """Flush pending writes."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        await self.flush()

    async def flush(self) -> None:
        """Store when keys were last used."""
        used, self._used = self._used, {}
        if not used:
            return
        table = ApiKey.__table__

        def store(db: Db) -> None:
            for id, at in used.items():
                db.execute(update(ApiKey).where(table.c.id == id).values(last_used_at=at))

        try:
            await self._ctx.db.write(store)
        except BaseException:
            self._used = {**used, **self._used}
            raise
        for key in list(self._directory.keys.values()):
            if key.id in used:
                self._directory.keys[key.digest] = key.model_copy(update={"last_used_at": used[key.id]})

    async def _flush_later(self) -> None:
        await asyncio.sleep(_FLUSH)
        await self.flush()
