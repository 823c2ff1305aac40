"""The lifespan of keys: load, follow changes, flush at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudos_sdk import Context
from cloudos_sdk.capabilities import BearerAuthenticator, Users

from cloudos_memory.keys.authenticator import KeyAuthenticator
from cloudos_memory.keys.cache import KeyCache
from cloudos_memory.keys.hasher import Hasher
from cloudos_memory.keys.service import KeyService


@asynccontextmanager
async def keeping_keys(ctx: Context) -> AsyncIterator[None]:
    """Load the keys and authenticate by them while the plugin runs."""
    hasher, ring = Hasher(ctx.settings.keys.bcrypt_cost), KeyCache()
    bearers = KeyAuthenticator(ctx, ring, hasher)
    keys = KeyService(ctx, ring, hasher, bearers)
    await keys.load()
    users = ctx.find(Users)
    unwatch = users.watch(keys.follow_authority) if users is not None else None
    ctx.provide(KeyService, keys)
    ctx.provide(KeyCache, ring)
    ctx.provide(BearerAuthenticator, bearers)
    ctx.events.subscribe(keys.follow_owner, "user.changed", "user.deleted", name="key-owners")
    storing = ctx.tasks.start("use of keys", keys.store_use_for_ever)
    try:
        yield
    finally:
        if unwatch is not None:
            unwatch()
        storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
        await keys.store_use()
        hasher.close()
