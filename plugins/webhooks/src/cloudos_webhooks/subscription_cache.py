"""The webhooks in memory, by which each event finds its subscribers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from cloudos_sdk import Context
from sqlalchemy import select

from cloudos_webhooks.event_catalog import ALL
from cloudos_webhooks.models import Webhook
from cloudos_webhooks.signature import Signer

TABLE = Webhook.__table__


@dataclass(frozen=True)
class Secret:
    """The secret in force, and those that it replaced with the time until which they sign too."""

    current: str
    previous: tuple[tuple[str, datetime], ...] = ()

    def dump(self) -> str:
        """Return it as text, to be encrypted."""
        return orjson.dumps([self.current, *([old, until.timestamp()] for old, until in self.previous)]).decode()


@dataclass(frozen=True)
class Subscription:
    """A webhook as it is now."""

    id: str
    url: str
    events: tuple[str, ...]
    secret: Secret
    signer: Signer
    active: bool
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def sends(self) -> bool:
        """Return whether it receives deliveries now."""
        return self.active and self.failing_since is None

    @property
    def host(self) -> str:
        """The host of its URL; the rest may contain a token and is not shown."""
        return urlsplit(self.url).hostname or ""

    def wants(self, type: str) -> bool:
        """Return whether it subscribes to this event type."""
        return self.active and (ALL in self.events or type in self.events)

    def with_secret(self, secret: Secret) -> Subscription:
        """Return it with another secret."""
        return replace(self, secret=secret, signer=Signer(secret.current, secret.previous))


class SubscriptionCache:
    """All webhooks, as the committed rows say."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._hooks: dict[str, Subscription] = {}

    async def load(self) -> None:
        """Load the rows. Raises ValueError if they were encrypted with another key."""
        rows = await self._ctx.db.read(lambda s: s.execute(select(TABLE)).all())
        self._hooks = {row.id: self.read(row) for row in rows}

    def all(self) -> Sequence[Subscription]:
        """Return all, newest first."""
        return sorted(self._hooks.values(), key=lambda hook: (hook.created_at, hook.id), reverse=True)

    def get(self, webhook_id: str) -> Subscription | None:
        """Return one, or None."""
        return self._hooks.get(webhook_id)

    def wanting(self, type: str) -> list[Subscription]:
        """Return those that an event of this type is for."""
        return [hook for hook in self._hooks.values() if hook.wants(type)]

    def put(self, hook: Subscription) -> None:
        """Know a webhook from now on."""
        self._hooks[hook.id] = hook

    def drop(self, webhook_id: str) -> None:
        """Know a webhook no longer."""
        self._hooks.pop(webhook_id, None)

    def mark(self, webhook_id: str, failing_since: datetime | None) -> None:
        """Know since when an endpoint is failing; None is not any more."""
        hook = self._hooks.get(webhook_id)
        if hook is not None:
            self._hooks[webhook_id] = replace(hook, failing_since=failing_since)

    def __len__(self) -> int:
        return len(self._hooks)

    def row(self, hook: Subscription) -> dict[str, Any]:
        """Return the columns of a webhook, secrets encrypted."""
        return {
            "id": hook.id,
            "url": self._ctx.secrets.encrypt(hook.url),
            "events": orjson.dumps(hook.events).decode(),
            "secrets": self._ctx.secrets.encrypt(hook.secret.dump()),
            "active": hook.active,
            "failing_since": hook.failing_since,
            "created_at": hook.created_at,
            "updated_at": hook.updated_at,
        }

    def read(self, row: Any) -> Subscription:
        """Return the webhook of a row."""
        current, *previous = orjson.loads(self._ctx.secrets.decrypt(row.secrets))
        secret = Secret(current, tuple(_dated(previous)))
        return Subscription(
            id=row.id,
            url=self._ctx.secrets.decrypt(row.url),
            events=tuple(orjson.loads(row.events)),
            secret=secret,
            signer=Signer(secret.current, secret.previous),
            active=row.active,
            failing_since=row.failing_since,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


def _dated(previous: Iterable[Sequence[Any]]) -> Iterable[tuple[str, datetime]]:
    return ((old, datetime.fromtimestamp(until, UTC)) for old, until in previous)
