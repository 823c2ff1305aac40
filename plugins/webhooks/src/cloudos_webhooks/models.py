"""Tables: webhooks and their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import BigInteger, Column, Index, Integer, Text, UniqueConstraint, text
from sqlmodel import Field

Base: Any = model_base("webhooks")

SEQ = BigInteger().with_variant(Integer(), "sqlite")


class Webhook(Base, table=True):
    """An endpoint. `url` and `secrets` are encrypted; `events` is a JSON list."""

    __tablename__ = "webhooks_webhook"

    id: str = Field(primary_key=True)
    url: str = Field(sa_column=Column(Text, nullable=False))
    events: str = Field(sa_column=Column(Text, nullable=False))
    secrets: str = Field(sa_column=Column(Text, nullable=False))
    active: bool
    failing_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Delivery(Base, table=True):
    """One event for one webhook; `seq` is its place in the queue, `attempts` a JSON list of the tries.

    `state` is waiting (never tried), retrying, delivered or failed. `settled_at` is set in the last two, so that the
    index of the queues holds nothing but what is still to be sent.
    """

    __tablename__ = "webhooks_delivery"
    __table_args__ = (
        UniqueConstraint("event_id", "webhook_id"),
        Index("ix_webhooks_delivery_webhook_id_seq", "webhook_id", "seq"),
        Index(
            "ix_webhooks_delivery_queue",
            "webhook_id",
            "state",
            "seq",
            sqlite_where=text("settled_at IS NULL"),
            postgresql_where=text("settled_at IS NULL"),
        ),
    )

    seq: int = Field(sa_column=Column(SEQ, primary_key=True, autoincrement=False))
    webhook_id: str
    event_id: str
    type: str
    body: str = Field(sa_column=Column(Text, nullable=False))
    state: str
    tries: int
    attempts: str = Field(sa_column=Column(Text, nullable=False))
    due_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    settled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
