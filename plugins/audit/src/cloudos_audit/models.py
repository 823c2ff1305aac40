"""Tables: entries, the head, and the checkpoints of retention.

Names that are compared by range are kept in byte order on PostgreSQL too (collation "C"), as on SQLite.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import BigInteger, Column, Index, Integer, String, Text
from sqlmodel import Field

Base: Any = model_base("audit")

SEQ = BigInteger().with_variant(Integer(), "sqlite")
NAME = String().with_variant(String(collation="C"), "postgresql")


class AuditEntry(Base, table=True):
    """One event, as it happened; `hash` covers every column and the hash of the entry before."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_time_seq", "time", "seq"),
        Index("ix_audit_entry_action_time_seq", "action", "time", "seq"),
        Index("ix_audit_entry_actor_id_time_seq", "actor_id", "time", "seq"),
        Index("ix_audit_entry_actor_name_time_seq", "actor_name", "time", "seq"),
        Index("ix_audit_entry_resource_time_seq", "resource", "time", "seq"),
    )

    seq: int = Field(sa_column=Column(SEQ, primary_key=True, autoincrement=False))
    event_id: str = Field(unique=True)
    time: datetime = Field(sa_type=UtcDateTime)
    action: str = Field(sa_column=Column(NAME, nullable=False))
    actor_kind: str
    actor_id: str
    actor_name: str
    address: str | None = None
    resource: str
    details: str = Field(sa_column=Column(Text, nullable=False))
    data: str = Field(sa_column=Column(Text, nullable=False))
    request_id: str | None = None
    prev_hash: str
    hash: str


class Head(Base, table=True):
    """The newest entry, sealed with the host's key; `broken_at` is the entry at which the head had to be rebuilt."""

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    seq: int = Field(sa_column=Column(SEQ, nullable=False))
    hash: str
    broken_at: int | None = Field(default=None, sa_column=Column(SEQ))
    mac: str


class Checkpoint(Base, table=True):
    """One run of retention: the entries below `seq` are gone, the last of them had `entry_hash`."""

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    time: datetime = Field(sa_type=UtcDateTime)
    seq: int = Field(sa_column=Column(SEQ, nullable=False))
    entry_hash: str
    removed: int
    prev_mac: str
    mac: str
