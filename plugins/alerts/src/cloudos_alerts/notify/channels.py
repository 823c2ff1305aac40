"""Channels: added, changed, tried and removed. Their settings are encrypted whole and shown without secrets."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from cloudos_sdk import Conflict, Context, Event, InvalidRequest, NotFound, Principal, iso, new_id
from cloudos_sdk.identity import caller
from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session

from cloudos_alerts.channel_types import TYPES, ChannelConfig
from cloudos_alerts.evaluation.engine import RuleEvaluator
from cloudos_alerts.events import (
    AlertChannelAdded,
    AlertChannelChanged,
    AlertChannelRemoved,
    AlertChannelTested,
    AlertRuleChanged,
)
from cloudos_alerts.models import Channel, Notification, Rule
from cloudos_alerts.notify.apprise_adapter import Message, SendResult, UnfitConfig
from cloudos_alerts.notify.kept_secrets import SecretMoved, kept
from cloudos_alerts.notify.outbox import NotificationOutbox, own_words, told
from cloudos_alerts.rules.rule_state import RuleState
from cloudos_alerts.schemas import ChannelChange, NewChannel, Trial
from cloudos_alerts.validation import checked

CHANNEL = Channel.__table__
NOTIFICATION = Notification.__table__
RULE = Rule.__table__
_MOST = 100


class ChannelService:
    """The ways to notify."""

    def __init__(self, ctx: Context, engine: RuleEvaluator, outbox: NotificationOutbox) -> None:
        self._ctx = ctx
        self._engine = engine
        self._outbox = outbox

    async def listed(self) -> list[dict[str, Any]]:
        """Return all channels as the API shows them, oldest first."""
        rows, waiting = await self._ctx.db.read(self._read)
        return [self._shown(row, waiting) for row in rows]

    async def get(self, channel_id: str) -> dict[str, Any]:
        """Return one channel as the API shows it. Raises NotFound."""
        return next((c for c in await self.listed() if c["id"] == channel_id), None) or _none(channel_id)

    async def add(self, data: NewChannel) -> dict[str, Any]:
        """Add a channel. The first one is given to the node's own rules that have none."""
        config = await self._checked(data.type, data.config)
        now, channel_id = self._ctx.clock.now(), new_id("ch")
        values = {
            "id": channel_id,
            "name": data.name,
            "type": data.type,
            "config": self._sealed(config),
            "failing": False,
            "failures": 0,
            "created_at": now,
            "updated_at": now,
        }

        def store(session: Session) -> None:
            before = session.execute(select(func.count()).select_from(CHANNEL)).scalar_one()
            if before >= _MOST:
                raise Conflict("too_many_channels", f"There are {before} channels; remove one first.")
            session.execute(insert(CHANNEL).values(**values))
            details = f"Added the {data.type} channel {data.name}"
            self._emit(session, AlertChannelAdded, channel_id, details, name=data.name, channel_type=data.type)
            own = select(RULE).where(RULE.c.made_by_node)
            orphans = [] if before else [r for r in session.execute(own) if not r.channel_ids]
            for rule in orphans:
                self._use(session, rule, [channel_id], f"{rule.name} notifies {data.name}")

        await self._engine.change(store)
        return await self.get(channel_id)

    async def change(self, channel_id: str, data: ChannelChange) -> dict[str, Any]:
        """Change a channel; its pending notifications are tried at once. Raises NotFound."""
        row = await self._row(channel_id)
        values: dict[str, Any] = {"updated_at": self._ctx.clock.now()} | ({"name": data.name} if data.name else {})
        if data.config is not None:
            config = await self._checked(row.type, self._completed(row, data.config))
            values |= {"config": self._sealed(config), "failures": 0, "retry_at": None}

        def store(session: Session) -> None:
            now = session.execute(select(CHANNEL).where(CHANNEL.c.id == channel_id)).first() or _none(channel_id)
            if data.config is not None and now.config != row.config:
                message = "The channel was changed by somebody else meanwhile; read it and send your change again."
                raise Conflict("channel_changed", message)
            session.execute(update(CHANNEL).where(CHANNEL.c.id == channel_id).values(**values))
            name = data.name or now.name
            self._emit(session, AlertChannelChanged, channel_id, f"Changed the channel {name}", name=name)
            if data.config is not None:
                self._ctx.db.after_commit(session, lambda: self._outbox.timed(channel_id, slow=False))
            self._ctx.db.after_commit(session, self._outbox.wake)

        await self._ctx.db.write(store)
        return await self.get(channel_id)

    async def remove(self, channel_id: str, *, detach: bool) -> None:
        """Remove a channel. Raises NotFound, and Conflict that names the rules that use it, unless they do without."""

        def store(session: Session) -> None:
            row = session.execute(select(CHANNEL).where(CHANNEL.c.id == channel_id)).first() or _none(channel_id)
            users = [rule for rule in session.execute(select(RULE)) if channel_id in rule.channel_ids]
            if users and not detach:
                names = ", ".join(rule.name for rule in users)
                raise Conflict(
                    "channel_in_use",
                    f"{row.name} is used by {names}. Give them another channel, or send ?detach=true.",
                    rules=[{"id": rule.id, "name": rule.name} for rule in users],
                )
            session.execute(delete(NOTIFICATION).where(NOTIFICATION.c.channel_id == channel_id))
            session.execute(delete(CHANNEL).where(CHANNEL.c.id == channel_id))
            self._emit(session, AlertChannelRemoved, channel_id, f"Removed the channel {row.name}", name=row.name)
            for rule in users:
                rest = [id for id in rule.channel_ids if id != channel_id]
                self._use(session, rule, rest, f"{rule.name} notifies {row.name} no longer")
            self._ctx.db.after_commit(session, lambda: self._outbox.forget(channel_id))

        await self._engine.change(store)

    async def test(self, channel_id: str, by: Principal) -> Trial:
        """Send a test notification and return the outcome, with the receiver's answer for users. Raises NotFound."""
        row = await self._row(channel_id)
        message = Message(f"Test from {self._ctx.settings.node_name or 'Cloud OS'}", f"{row.name} works.", "info")
        begun = time.perf_counter()
        try:
            delivery = await self._outbox.couriers.trial(self._outbox.config(row), message, by=by.id)
            self._outbox.timed(channel_id, slow=delivery.slow)
        except ValueError:
            delivery = SendResult(
                False, None, None, "The settings cannot be read with this host's key; set them again."
            )
        took = round((time.perf_counter() - begun) * 1000)
        if not _is_person():
            delivery = replace(delivery, response=None)

        def store(session: Session) -> None:
            if delivery.delivered:
                self._outbox.succeeded(session, channel_id)
            else:
                values = {"last_error": told(delivery), "last_error_at": self._ctx.clock.now()}
                session.execute(update(CHANNEL).where(CHANNEL.c.id == channel_id).values(**values))
            outcome = "delivered" if delivery.delivered else "not delivered"
            details = f"Tested the channel {row.name}: {outcome}"
            self._emit(session, AlertChannelTested, channel_id, details, name=row.name, delivered=delivery.delivered)

        await self._ctx.db.write(store)
        return Trial(
            delivered=delivery.delivered,
            status=delivery.status,
            response=delivery.response,
            reason=delivery.reason,
            duration_ms=took,
        )

    async def _checked(self, type: str, given: Mapping[str, Any]) -> ChannelConfig:
        config = checked(TYPES[type], given, below="config")
        if (fault := config.fault()) is not None:
            raise InvalidRequest.field(f"config.{fault[0]}", fault[1])
        try:
            await self._outbox.couriers.check(config)
        except UnfitConfig as error:
            raise InvalidRequest.field("config.url" if type == "apprise" else "config", str(error)) from None
        return config

    def _completed(self, row: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            before = self._outbox.config(row)
        except ValueError:
            return given
        try:
            return kept(given, before)
        except SecretMoved as error:
            raise InvalidRequest.field(f"config.{error.path}", str(error)) from None

    def _sealed(self, config: ChannelConfig) -> str:
        plain = orjson.dumps(config.model_dump(by_alias=True, exclude_none=True)).decode()
        return self._ctx.secrets.encrypt(plain)

    def _use(self, session: Session, row: Any, channel_ids: list[str], details: str) -> None:
        values = {"channel_ids": channel_ids, "updated_at": self._ctx.clock.now()}
        session.execute(update(RULE).where(RULE.c.id == row.id).values(**values))
        self._emit(session, AlertRuleChanged, row.id, details, name=row.name)
        self._engine.put(session, RuleState.of(session.execute(select(RULE).where(RULE.c.id == row.id)).one()))

    def _emit(self, session: Session, event: type[Event], resource: str, details: str, **fields: Any) -> None:
        self._ctx.events.emit(session, event(resource=resource, details=details, **fields))

    async def _row(self, channel_id: str) -> Any:
        statement = select(CHANNEL).where(CHANNEL.c.id == channel_id)
        return await self._ctx.db.read(lambda s: s.execute(statement).first()) or _none(channel_id)

    @staticmethod
    def _read(session: Session) -> tuple[Sequence[Any], dict[str, int]]:
        rows = session.execute(select(CHANNEL).order_by(CHANNEL.c.created_at, CHANNEL.c.id)).all()
        counts = select(NOTIFICATION.c.channel_id, func.count()).where(NOTIFICATION.c.state == "waiting")
        return rows, {id: count for id, count in session.execute(counts.group_by(NOTIFICATION.c.channel_id))}

    def _shown(self, row: Any, waiting: Mapping[str, int]) -> dict[str, Any]:
        try:
            config = self._outbox.config(row).shown()
        except ValueError:
            config = {}
        return {
            "id": row.id,
            "name": row.name,
            "type": row.type,
            "config": config,
            "status": _status(row),
            "last_error": row.last_error if _is_person() else row.last_error and own_words(row.last_error),
            "last_error_at": row.last_error_at and iso(row.last_error_at),
            "last_sent_at": row.last_sent_at and iso(row.last_sent_at),
            "waiting": waiting.get(row.id, 0),
            "rules": [rule.id for rule in self._engine.rules.values() if row.id in rule.channel_ids],
            "created_at": iso(row.created_at),
            "updated_at": iso(row.updated_at),
        }


def _none(channel_id: str) -> Any:
    raise NotFound("channel", channel_id)


def _is_person() -> bool:
    """Return whether the caller is a user in a session; a leaked key must not read answers of this network."""
    principal = caller().principal
    return principal is not None and principal.kind == "user"


def _status(row: Any) -> str:
    """Return how a channel is by its last delivery; one that was only asked to wait does not fail."""
    asked_to_wait = not row.failures and row.retry_at is not None
    if row.last_sent_at is None and not row.failing:
        return "untried"
    return "failing" if row.failing or (row.last_error is not None and not asked_to_wait) else "ok"
