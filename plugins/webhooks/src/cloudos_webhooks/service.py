"""Makes, changes and removes webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from cloudos_sdk import Conflict, Context, InvalidRequest, NotFound, new_id
from cloudos_sdk.outbound import check_url
from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session

from cloudos_webhooks.delivery.queues import DeliveryQueues
from cloudos_webhooks.delivery.sender import Sender
from cloudos_webhooks.delivery.store import Deliveries
from cloudos_webhooks.event_catalog import check
from cloudos_webhooks.events import WebhookCreated, WebhookDeleted, WebhookUpdated
from cloudos_webhooks.schemas import NewWebhook, Rotated, WebhookChange, WebhookMade, WebhookOut
from cloudos_webhooks.signature import Signer, new_secret
from cloudos_webhooks.subscription_cache import TABLE, Secret, Subscription, SubscriptionCache

MOST = 100
OVERLAP = timedelta(hours=24)
_OLD_SECRETS = 4


class Webhooks:
    """Creates, changes and deletes webhooks."""

    def __init__(
        self,
        ctx: Context,
        directory: SubscriptionCache,
        deliveries: Deliveries,
        sender: Sender,
        dispatcher: DeliveryQueues,
    ) -> None:
        self._ctx = ctx
        self._directory = directory
        self._deliveries = deliveries
        self._sender = sender
        self._dispatcher = dispatcher
        self._cleaning: set[asyncio.Task[None]] = set()

    async def listed(self) -> list[WebhookOut]:
        """Return all webhooks, newest first."""
        marks = await self._marks()
        return [_shown(hook, *marks.get(hook.id, (0, None))) for hook in self._directory.all()]

    async def get(self, webhook_id: str) -> WebhookOut:
        """Return one. Raises NotFound."""
        hook = self._known(webhook_id)
        return _shown(hook, *(await self._marks()).get(hook.id, (0, None)))

    async def create(self, wanted: NewWebhook) -> WebhookMade:
        """Make a webhook and return it with its secret. Raises InvalidRequest, Conflict."""
        events = check(wanted.events)
        await self._check(wanted.url)
        now, secret = self._ctx.clock.now(), Secret(new_secret())
        hook = Subscription(
            id=new_id("wh"),
            url=wanted.url,
            events=tuple(events),
            secret=secret,
            signer=Signer(secret.current),
            active=wanted.active,
            failing_since=None,
            created_at=now,
            updated_at=now,
        )
        details = f"Made a webhook to {hook.host} for {', '.join(events)}"
        told = WebhookCreated(resource=hook.id, details=details, host=hook.host, events=events)

        def store(session: Session) -> None:
            if int(session.execute(select(func.count()).select_from(TABLE)).scalar() or 0) >= MOST:
                raise Conflict("too_many_webhooks", f"There are {MOST} webhooks already; remove one first.")
            session.execute(insert(TABLE).values(**self._directory.row(hook)))
            self._ctx.events.emit(session, told)
            self._ctx.db.after_commit(session, lambda: self._know(hook))

        await self._ctx.db.write(store)
        return WebhookMade(**_shown(hook, 0, None).model_dump(), secret=secret.current)

    async def update(self, webhook_id: str, change: WebhookChange) -> WebhookOut:
        """Change the given fields; another URL or `active: true` ends `failing`. Raises NotFound, InvalidRequest."""
        before = self._known(webhook_id)
        given: dict[str, Any] = {}
        if change.url is not None and change.url != before.url:
            await self._check(change.url)
            given["url"] = change.url
        if change.events is not None:
            given["events"] = tuple(check(change.events, before.events))
        if change.active is not None:
            given["active"] = change.active

        def apply(hook: Subscription) -> Subscription:
            anew = "url" in given or given.get("active") is True
            return replace(hook, **given, failing_since=None if anew else hook.failing_since)

        await self._change(webhook_id, apply)
        return await self.get(webhook_id)

    async def rotate(self, webhook_id: str) -> Rotated:
        """Replace the secret; for a day the one before signs too. Raises NotFound."""
        now, fresh = self._ctx.clock.now(), new_secret()

        def apply(hook: Subscription) -> Subscription:
            held = [(old, until) for old, until in hook.secret.previous if until > now]
            previous = (*held, (hook.secret.current, now + OVERLAP))[-_OLD_SECRETS:]
            return hook.with_secret(Secret(fresh, previous))

        await self._change(webhook_id, apply)
        return Rotated(id=webhook_id, secret=fresh, previous_until=now + OVERLAP)

    async def delete(self, webhook_id: str) -> None:
        """Remove a webhook; its deliveries go in the background. Raises NotFound."""
        hook = self._known(webhook_id)
        details = f"Removed the webhook to {hook.host}"

        def remove(session: Session) -> None:
            if session.connection().execute(delete(TABLE).where(TABLE.c.id == webhook_id)).rowcount != 1:
                raise NotFound("webhook", webhook_id)
            self._ctx.events.emit(session, WebhookDeleted(resource=webhook_id, details=details, host=hook.host))
            self._ctx.db.after_commit(session, lambda: self._forget(webhook_id))

        await self._ctx.db.write(remove)

    async def close(self) -> None:
        """Stop deleting old deliveries; the daily job continues."""
        for task in self._cleaning:
            task.cancel()
        await asyncio.gather(*self._cleaning, return_exceptions=True)

    async def _change(self, webhook_id: str, apply: Callable[[Subscription], Subscription]) -> None:
        """Change one in the transaction that reads it, so that of two changes none is lost."""

        def store(session: Session) -> None:
            row = session.execute(select(TABLE).where(TABLE.c.id == webhook_id)).first()
            if row is None:
                raise NotFound("webhook", webhook_id)
            old = self._directory.read(row)
            new = replace(apply(old), updated_at=self._ctx.clock.now())
            names = {
                "url": "url",
                "events": "events",
                "active": "active",
                "secret": "secret",
                "failing_since": "status",
            }
            changed = [shown for name, shown in names.items() if getattr(new, name) != getattr(old, name)]
            if not changed:
                return
            session.execute(update(TABLE).where(TABLE.c.id == webhook_id).values(**self._directory.row(new)))
            details = f"Changed {', '.join(changed)} of the webhook to {new.host}"
            told = WebhookUpdated(resource=webhook_id, details=details, host=new.host, changed=changed)
            self._ctx.events.emit(session, told)
            self._ctx.db.after_commit(session, lambda: self._know(new))

        await self._ctx.db.write(store)

    async def _check(self, url: str) -> None:
        """Refuse a URL that nothing could be sent to."""
        try:
            await asyncio.to_thread(check_url, url)
        except ValueError as error:
            raise InvalidRequest.field("url", str(error)) from None
        if "@" in url.split("//", 1)[1].split("/", 1)[0]:
            raise InvalidRequest.field("url", "leave out name and password: a receiver knows us by the signature")
        refused = await self._sender.refused_address(url)
        if refused is not None:
            sentence = f"{refused} is an address of a private network; the setting `allow_private` would allow it"
            raise InvalidRequest.field("url", sentence)

    async def _marks(self) -> dict[str, tuple[int, Any]]:
        """Return how many deliveries wait for each webhook, and when it last took one."""
        waiting = await self._deliveries.waiting()
        rows = await self._ctx.db.read(lambda s: s.execute(select(TABLE.c.id, TABLE.c.delivered_at)).all())
        return {id: (waiting.get(id, 0), delivered_at) for id, delivered_at in rows}

    def _known(self, webhook_id: str) -> Subscription:
        hook = self._directory.get(webhook_id)
        if hook is None:
            raise NotFound("webhook", webhook_id)
        return hook

    def _know(self, hook: Subscription) -> None:
        self._directory.put(hook)
        self._dispatcher.changed(hook.id)

    def _forget(self, webhook_id: str) -> None:
        self._directory.drop(webhook_id)
        self._dispatcher.changed(webhook_id)
        task = self._ctx.tasks.start("deliveries to forget", partial(self._deliveries.forget, webhook_id))
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)


def _shown(hook: Subscription, waiting: int, delivered_at: Any) -> WebhookOut:
    return WebhookOut(
        id=hook.id,
        url=hook.url,
        events=list(hook.events),
        active=hook.active,
        created_at=hook.created_at,
        updated_at=hook.updated_at,
        status="healthy" if hook.failing_since is None else "failing",
        failing_since=hook.failing_since,
        last_delivered_at=delivered_at,
        waiting=waiting,
    )
