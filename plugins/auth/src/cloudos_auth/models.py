"""Tables: users, sessions, known addresses, backup codes, API keys and lock-outs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import Column, Text
from sqlmodel import Field

Base: Any = model_base("auth")


class User(Base, table=True):
    """A person; `password` is the bcrypt hash of the password's digest.

    `totp_secret` is encrypted; it is in force once `totp_enabled`. A code of `totp_step` or before is refused.
    """

    id: str = Field(primary_key=True)
    username: str = Field(unique=True)
    password: str
    role: str
    disabled: bool = False
    totp_secret: str | None = None
    totp_enabled: bool = False
    totp_step: int = 0
    created_at: datetime = Field(sa_type=UtcDateTime)


class Session(Base, table=True):
    """A sign-in; `refresh` is the id of the one refresh token that still holds."""

    id: str = Field(primary_key=True)
    user_id: str = Field(index=True)
    refresh: str
    address: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_used_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class BackupCode(Base, table=True):
    """A backup code that was not used yet, as a keyed hash."""

    digest: str = Field(primary_key=True)
    user_id: str = Field(index=True)


class ApiKey(Base, table=True):
    """A key for programs, as a keyed hash; `scopes` is a JSON list."""

    id: str = Field(primary_key=True)
    user_id: str = Field(index=True)
    name: str
    digest: str = Field(unique=True)
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class KnownAddress(Base, table=True):
    """An address, or an IPv6 /64, at which a user has signed in."""

    user_id: str = Field(primary_key=True)
    share: str = Field(primary_key=True)
    seen_at: datetime = Field(sa_type=UtcDateTime)


class Lockout(Base, table=True):
    """How often an account (`user:<name>`), one at a known address (`known:<name>|<ip>`) or an address failed in a row.

    `known:<name>|signed-in` is whoever is signed in as the user. An address is `address:<ip>`, and an IPv6 one its /64.
    """

    subject: str = Field(primary_key=True)
    failures: int
    failed_at: datetime = Field(sa_type=UtcDateTime)
