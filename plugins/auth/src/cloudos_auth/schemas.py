"""Bodies and answers of the sign-in endpoints (reference, "Authentication")."""

from __future__ import annotations

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body
from pydantic import BaseModel, Field


class Account(Body):
    """A name and a password, at set-up."""

    username: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._@-]+$")
    password: str = Field(min_length=10, max_length=1024)


class SignIn(Body):
    """A name and a password, at sign-in."""

    username: str = Field(max_length=256)
    password: str = Field(max_length=1024)


class Refresh(Body):
    """A refresh token."""

    refresh_token: str = Field(max_length=4096)


class NewPassword(Body):
    """The password in force and the one to come."""

    current_password: str = Field(max_length=1024)
    new_password: str = Field(min_length=10, max_length=1024)


class NewUser(BaseModel):
    """A user as the set-up answers it."""

    id: str
    username: str
    created_at: UtcTime


class UserOut(NewUser):
    """A user."""

    role: str


class SetUp(BaseModel):
    """The answer of the set-up."""

    message: str
    user: NewUser


class Tokens(BaseModel):
    """A pair of tokens."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 - the name of the scheme (RFC 6750)


class SessionOut(BaseModel):
    """A session of the caller."""

    id: str
    address: str | None
    created_at: UtcTime
    last_used_at: UtcTime
    expires_at: UtcTime
    current: bool


class Connection(BaseModel):
    """Whether the node belongs to a Control Panel."""

    connected: bool
