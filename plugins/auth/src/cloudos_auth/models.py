"""Tables: users and their sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlmodel import Field

Base: Any = model_base("auth")


class User(Base, table=True):
    """A person; `password` is the bcrypt hash of the password's digest."""

    id: str = Field(primary_key=True)
    username: str = Field(unique=True)
    password: str
    role: str
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
