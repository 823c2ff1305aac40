"""Tables: targets, backups, what is known of each app, schedules, and restores."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import BigInteger, Column, Index, Text
from sqlmodel import Field

Base: Any = model_base("backups")


class Target(Base, table=True):
    """A place for backups. `config` is JSON without secrets; `secrets` (JSON) and `password` are encrypted.

    `state` is `new` until its repository was made; `health` is what was seen last: ok, failing or damaged.
    """

    __tablename__ = "backups_target"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    kind: str
    config: str = Field(sa_column=Column(Text, nullable=False))
    secrets: str = Field(sa_column=Column(Text, nullable=False))
    password: str = Field(sa_column=Column(Text, nullable=False))
    state: str
    health: str
    error: str | None = Field(default=None, sa_column=Column(Text))
    checked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    recovery_due_at: datetime = Field(sa_type=UtcDateTime)
    recovery_confirmed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    size_bytes: int | None = Field(default=None, sa_column=Column(BigInteger))
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Backup(Base, table=True):
    """A backup: a snapshot of restic for each app and one for the node. `apps` and `parts` are JSON.

    `status` is queued, in_progress, completed, partial, failed or cancelled.
    """

    __tablename__ = "backups_backup"
    __table_args__ = (
        Index("ix_backups_backup_started_at_id", "started_at", "id"),
        Index("ix_backups_backup_schedule_id", "schedule_id"),
    )

    id: str = Field(primary_key=True)
    target_id: str
    target: str
    status: str
    apps: str = Field(sa_column=Column(Text, nullable=False))
    include_config: bool
    parts: str = Field(sa_column=Column(Text, nullable=False))
    schedule_id: str | None = None
    error: str | None = Field(default=None, sa_column=Column(Text))
    size_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    added_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    files: int = Field(sa_column=Column(BigInteger, nullable=False))
    operation_id: str | None = None
    node: str
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AppState(Base, table=True):
    """What is known of an app: its newest good backup, and when one was proved by restoring it."""

    __tablename__ = "backups_app"

    app_id: str = Field(primary_key=True)
    name: str
    last_backup_id: str | None = None
    last_backup_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_proved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    proof_tried_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    proof_error: str | None = Field(default=None, sa_column=Column(Text))


class Schedule(Base, table=True):
    """When backups are made. `plan` is JSON: what the schedule says; the rest is what became of it.

    `due_at` is the next time by its cron, `starts_at` that time with its random wait.
    """

    __tablename__ = "backups_schedule"

    id: str = Field(primary_key=True)
    position: int
    name: str
    plan: str = Field(sa_column=Column(Text, nullable=False))
    due_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    starts_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_succeeded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failures: int
    checked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Restore(Base, table=True):
    """The restore of one app, step by step, so that the next start puts back what a dead host left half done.

    `making` is again, beside or trial for an app that is made, None for one that is there; `moves` is JSON: which
    folder is put in whose place; `before` is the definition of before, encrypted.
    """

    __tablename__ = "backups_restore"
    __table_args__ = (Index("ix_backups_restore_operation_id", "operation_id"),)

    id: str = Field(primary_key=True)
    operation_id: str
    backup_id: str
    app_id: str
    making: str | None = None
    phase: str
    moves: str = Field(sa_column=Column(Text, nullable=False))
    before: str | None = Field(default=None, sa_column=Column(Text))
    error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
