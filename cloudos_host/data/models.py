"""The host's tables: events, cursors of readers, operations, job runs and facts of the node."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk.models import UtcDateTime, model_base
from sqlalchemy import BigInteger, Column, Float, Integer, Text
from sqlmodel import Field

Base: Any = model_base("host")

_SEQ = BigInteger().with_variant(Integer(), "sqlite")


class EventRow(Base, table=True):
    """An event of the outbox; `seq` is its order."""

    __tablename__ = "host_event"

    seq: int | None = Field(default=None, sa_column=Column(_SEQ, primary_key=True, autoincrement=True))
    id: str = Field(unique=True)
    type: str
    time: datetime = Field(sa_type=UtcDateTime, index=True)
    actor_kind: str
    actor_id: str
    actor_name: str
    address: str | None = None
    request_id: str | None = None
    resource: str
    details: str = Field(sa_column=Column(Text, nullable=False))
    audience: str
    data: str = Field(sa_column=Column(Text, nullable=False))


class EventCursor(Base, table=True):
    """How far one reader of the outbox is."""

    __tablename__ = "host_event_cursor"

    reader: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(_SEQ, nullable=False))


class EventSetAside(Base, table=True):
    """An event that a reader could not handle."""

    __tablename__ = "host_event_set_aside"

    reader: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(_SEQ, primary_key=True, autoincrement=False))
    error: str = Field(sa_column=Column(Text, nullable=False))
    time: datetime = Field(sa_type=UtcDateTime)


class OperationRow(Base, table=True):
    """An operation: input, progress and outcome.

    `owner` is the user who asked for it. Those with the permission `audience` see it; without one, it is the owner's.
    """

    __tablename__ = "host_operation"

    id: str = Field(primary_key=True)
    plugin: str = Field(index=True)
    kind: str
    resource: str = Field(index=True)
    title: str
    input: str = Field(sa_column=Column(Text, nullable=False))
    state: str = Field(index=True)
    progress: float = Field(default=0.0, sa_column=Column(Float, nullable=False))
    message: str = Field(default="", sa_column=Column(Text, nullable=False))
    result: str | None = Field(default=None, sa_column=Column(Text))
    error: str | None = Field(default=None, sa_column=Column(Text))
    actor_kind: str
    actor_id: str
    actor_name: str
    address: str | None = None
    owner: str = Field(default="", index=True)
    audience: str = ""
    created_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class NodeFact(Base, table=True):
    """A fact of the node that this database belongs to."""

    __tablename__ = "host_node"

    name: str = Field(primary_key=True)
    value: str = Field(sa_column=Column(Text, nullable=False))


class JobRun(Base, table=True):
    """One run of a periodic job."""

    __tablename__ = "host_job_run"

    id: int | None = Field(default=None, sa_column=Column(_SEQ, primary_key=True, autoincrement=True))
    plugin: str
    job: str
    started_at: datetime = Field(sa_type=UtcDateTime, index=True)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    outcome: str
    error: str | None = Field(default=None, sa_column=Column(Text))
