"""Bodies and answers of the sign-in endpoints (reference, "Authentication", "API Keys")."""

from __future__ import annotations

from typing import Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body
from pydantic import AwareDatetime, BaseModel, Field, RootModel

RoleName = Literal["admin", "operator", "viewer"]


class Account(Body):
    """A name and a password, at set-up."""

    username: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._@-]+$")
    password: str = Field(min_length=10, max_length=1024)


class FirstAccount(Account):
    """The first account; `code` is asked for where the request does not come from the machine itself."""

    code: str | None = Field(default=None, max_length=64)


class SetUpState(BaseModel):
    """Whether the node waits for its first account, and whether this caller needs the one-time code for it."""

    needed: bool
    code_required: bool


class NewAccount(Account):
    """A user to make."""

    role: RoleName = "viewer"


class UserChange(Body):
    """A change of a user; omitted fields stay."""

    role: RoleName | None = None
    disabled: bool | None = None
    password: str | None = Field(default=None, min_length=10, max_length=1024)
    reset_totp: bool = False


class SignIn(Body):
    """A name and a password, at sign-in; with `cookie` the tokens come as cookies, for a browser."""

    username: str = Field(max_length=256)
    password: str = Field(max_length=1024)
    cookie: bool = False


class Refresh(Body):
    """A refresh token; left out, the cookie's is taken, with its `X-CSRF-Token`."""

    refresh_token: str | None = Field(default=None, max_length=4096)


class Code(Body):
    """A code of the second factor, or a backup code; with the `temp_token` of a sign-in it completes that."""

    code: str = Field(max_length=64)
    temp_token: str | None = Field(default=None, max_length=4096)
    cookie: bool = False


class EnableTotp(Body):
    """The caller's password, which is asked for later than ten minutes after the sign-in."""

    password: str | None = Field(default=None, max_length=1024)


class DisableTotp(Body):
    """Both factors, to take the second one away."""

    password: str = Field(max_length=1024)
    code: str = Field(max_length=64)


class NewPassword(Body):
    """The password in force and the one to come."""

    current_password: str = Field(max_length=1024)
    new_password: str = Field(min_length=10, max_length=1024)


class NewKey(Body):
    """An API key to make."""

    name: str = Field(min_length=1, max_length=100)
    scopes: list[str] = Field(min_length=1, max_length=200)
    expires_at: AwareDatetime | None = None


class NewUser(BaseModel):
    """A user as the set-up answers it."""

    id: str
    username: str
    created_at: UtcTime


class UserOut(NewUser):
    """A user."""

    role: str
    disabled: bool
    totp_enabled: bool


class SetUp(BaseModel):
    """The answer of the set-up."""

    message: str
    user: NewUser


class Tokens(BaseModel):
    """A pair of tokens."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of the scheme (RFC 6750)


class CookieSession(BaseModel):
    """A session whose tokens are in cookies; send `csrf_token` as `X-CSRF-Token` with every request."""

    csrf_token: str
    token_type: Literal["cookie"] = "cookie"  # noqa: S105 - tells where the token is


class SecondFactorNeeded(BaseModel):
    """The password holds; POST a code with `temp_token` to /api/auth/totp/verify within five minutes."""

    totp_required: Literal[True] = True
    temp_token: str


class SignInAnswer(RootModel[Tokens | CookieSession | SecondFactorNeeded]):
    """The answer to a sign-in: tokens, a browser session, or a request for the second factor."""


class RefreshAnswer(RootModel[Tokens | CookieSession]):
    """The answer to a refresh: tokens or a browser session."""


class TotpSetup(BaseModel):
    """A second factor to confirm by a first code; shown once."""

    secret: str
    otpauth_uri: str
    qr_png_base64: str
    backup_codes: list[str]


class TotpState(BaseModel):
    """Whether the second factor is in force."""

    totp_enabled: bool


class CodeAnswer(RootModel[Tokens | CookieSession | TotpState]):
    """The answer to a code: a completed sign-in, or an enabled second factor."""


class KeyOut(BaseModel):
    """An API key, without its text."""

    id: str
    name: str
    scopes: list[str]
    user: str
    created_at: UtcTime
    expires_at: UtcTime | None
    last_used_at: UtcTime | None


class KeyCreatedOut(KeyOut):
    """A fresh API key; `key` is never shown again."""

    key: str


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
