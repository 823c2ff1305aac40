"""Writes that a client named: done once, however often they are asked for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

import orjson
from cloudos_sdk import Conflict, Context
from pydantic import BaseModel
from sqlalchemy import delete, insert, select
from sqlmodel import Session as Db

from cloudos_memory.keys.cache import HeldKey
from cloudos_memory.models import Done

_TABLE = Done.__table__
_KEPT = timedelta(days=7)


class IdempotentCalls:
    """Answers a named write from the first time it was done, for a week."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def do(
        self,
        key: HeldKey,
        name: str | None,
        tool: str,
        arguments: BaseModel,
        work: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Return the result of `work`, or the stored result of an earlier call with this key.

        Raises Conflict where the name stands for another write.
        """
        if name is None:
            return await work()
        id = _hash(key.user_id, key.namespace, key.client, name)
        fingerprint = _hash(tool, arguments.model_dump_json(exclude={"idempotency_key"}))
        lock = self._locks.setdefault(id, asyncio.Lock())
        async with lock:
            found = await self._ctx.db.read(lambda db: _find(db, id))
            if found is not None and found[0] != fingerprint:
                message = f"The idempotency_key {name[:60]!r} was used for another call; take a fresh one."
                raise Conflict("idempotency_key_reused", message)
            if found is not None:
                answer: dict[str, Any] = orjson.loads(found[1])
                return answer
            result = await work()
            row = {
                "id": id,
                "fingerprint": fingerprint,
                "result": orjson.dumps(result).decode(),
                "created_at": self._ctx.clock.now(),
            }
            await self._ctx.db.write(lambda db: db.execute(insert(_TABLE), row))
            return result

    async def prune(self) -> None:
        """Forget the writes of more than a week ago."""
        before = self._ctx.clock.now() - _KEPT
        await self._ctx.db.write(lambda db: db.execute(delete(Done).where(_TABLE.c.created_at < before)))


def _find(db: Db, id: str) -> tuple[str, str] | None:
    row = db.execute(select(_TABLE.c.fingerprint, _TABLE.c.result).where(_TABLE.c.id == id)).first()
    return None if row is None else (row[0], row[1])


def _hash(*parts: str) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
