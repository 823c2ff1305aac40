"""The cache of keys, from which requests are answered. The database is only written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import orjson
from cloudos_sdk import Principal, Role

from cloudos_memory.models import Key
from cloudos_memory.schemas import MOLLY


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key's row and its principal."""

    id: str
    user_id: str
    name: str
    client_type: str
    namespace: str
    scopes: tuple[str, ...]
    namespaces_read: tuple[str, ...]
    key_prefix: str
    hash: str
    suspended: bool
    expires_in_days: int | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    principal: Principal

    @property
    def client(self) -> str:
        """The client's kind as tags and notes write it: `claude-desktop`."""
        return self.client_type.replace("_", "-")

    @property
    def readable(self) -> tuple[str, ...]:
        """The namespaces that it reads: its own, Molly's, and those it was granted."""
        return tuple(dict.fromkeys((self.namespace, *self.namespaces_read, MOLLY)))

    def holds(self, now: datetime) -> bool:
        """Return whether the key is valid."""
        expired = self.expires_at is not None and self.expires_at <= now
        return self.revoked_at is None and not self.suspended and not expired


def held(row: Key) -> HeldKey:
    """Return a row as it is kept in memory. A viewer's key reads, whatever its scopes."""
    scopes = tuple(orjson.loads(row.scopes))
    role = Role(row.role)
    return HeldKey(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        client_type=row.client_type,
        namespace=row.namespace,
        scopes=scopes,
        namespaces_read=tuple(orjson.loads(row.namespaces_read)),
        key_prefix=row.key_prefix,
        hash=row.hash,
        suspended=row.suspended,
        expires_in_days=row.expires_in_days,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        principal=Principal("mcp_key", row.id, row.name, role, row.user_id, _allowed(scopes, role)),
    )


def as_of_now(key: HeldKey, owner: Principal | None) -> HeldKey:
    """Return a key with its owner's current rights; `owner` None means deleted or disabled."""
    if owner is None:
        return replace(key, suspended=True)
    principal = replace(key.principal, role=owner.role, scopes=_allowed(key.scopes, owner.role))
    return replace(key, suspended=False, principal=principal)


def _allowed(scopes: tuple[str, ...], role: Role) -> frozenset[str]:
    return frozenset(scopes if role.includes(Role.OPERATOR) else set(scopes) & {"read_memory"})


class KeyCache:
    """All keys by id, by the beginning of their bearer, and by the keyed hash of a bearer that was checked."""

    def __init__(self) -> None:
        self._keys: dict[str, HeldKey] = {}
        self._by_prefix: dict[str, list[str]] = {}
        self._by_digest: dict[str, str] = {}
        self._proven: set[str] = set()

    def put(self, key: HeldKey) -> None:
        """Store a key or its new state. A revoked key stays revoked even if an older row arrives."""
        before = self._keys.get(key.id)
        if before is None:
            self._by_prefix.setdefault(key.key_prefix, []).append(key.id)
        elif before.revoked_at is not None:
            key = replace(key, revoked_at=before.revoked_at)
        self._keys[key.id] = key

    def drop(self, key_id: str) -> None:
        """Forget a key."""
        key = self._keys.pop(key_id, None)
        self._proven.discard(key_id)
        if key is not None:
            self._by_prefix[key.key_prefix].remove(key_id)
            for digest in [digest for digest, id in self._by_digest.items() if id == key_id]:
                del self._by_digest[digest]

    def get(self, key_id: str) -> HeldKey | None:
        """Return a key."""
        return self._keys.get(key_id)

    def users(self) -> set[str]:
        """Return the ids of users with keys."""
        return {key.user_id for key in self._keys.values()}

    def of(self, user_id: str) -> list[HeldKey]:
        """Return the keys of a user that were not revoked, newest first."""
        mine = [key for key in self._keys.values() if key.user_id == user_id and key.revoked_at is None]
        return sorted(mine, key=lambda key: (key.created_at, key.id), reverse=True)

    def candidates(self, prefix: str) -> list[HeldKey]:
        """Return the keys whose bearer begins so."""
        return [self._keys[id] for id in self._by_prefix.get(prefix, ())]

    def known(self, digest: str) -> HeldKey | None:
        """Return the key of a bearer that was checked before."""
        id = self._by_digest.get(digest)
        return None if id is None else self._keys.get(id)

    def remember(self, digest: str, key_id: str) -> None:
        """Keep that a bearer is that of a key."""
        self._by_digest[digest] = key_id
        self._proven.add(key_id)

    def proven(self, key_id: str) -> bool:
        """Return whether a key's bearer was verified before."""
        return key_id in self._proven

    def revoke(self, key_id: str, at: datetime) -> None:
        """Let a key hold no longer. Its bearer stays known, so that refusing it costs no bcrypt."""
        key = self._keys.get(key_id)
        if key is not None:
            self._keys[key_id] = replace(key, revoked_at=at)

    def next_expiry(self, now: datetime) -> datetime | None:
        """Return when the next key expires."""
        return min((k.expires_at for k in self._keys.values() if k.expires_at and k.expires_at > now), default=None)

    def live(self, now: datetime) -> bool:
        """Return whether any key is valid."""
        return any(key.holds(now) for key in self._keys.values())
