"""Sign-in: users, sessions and tokens."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Job, Manifest, PluginSettings, hookimpl
from cloudos_sdk.capabilities import Authenticator, ControlPanelLink
from cloudos_sdk.events import UserLogin, UserLoginFailed
from pydantic import Field
from quart import Blueprint

from cloudos_auth.jobs import PURGE
from cloudos_auth.models import Base
from cloudos_auth.passwords import Passwords
from cloudos_auth.routes import routes
from cloudos_auth.service import Accounts, PasswordChanged, SessionRevoked, SetupCompleted


class AuthSettings(PluginSettings):
    """Settings of the sign-in."""

    bcrypt_cost: int = Field(default=12, ge=4, le=16)


manifest = Manifest(
    title="Sign-in",
    prefixes=("/api/auth",),
    settings=AuthSettings,
    tables=Base,
    migrations="cloudos_auth.migrations",
    provides=(Authenticator,),
    uses=(ControlPanelLink,),
    emits=(SetupCompleted, UserLogin, UserLoginFailed, PasswordChanged, SessionRevoked),
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the sign-in endpoints."""
    return [routes]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the purge of expired sessions."""
    return [PURGE]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Load users and sessions and begin to recognise callers."""
    passwords = Passwords(ctx.settings.bcrypt_cost)
    accounts = Accounts(ctx, _signing_key(ctx), passwords)
    await passwords.prepare()
    await accounts.load()
    ctx.provide(Accounts, accounts)
    ctx.provide(Authenticator, accounts)
    try:
        yield
    finally:
        passwords.close()


def _signing_key(ctx: Context) -> str:
    """Return the key of the tokens, made at the first start and kept encrypted, mode 0600."""
    path = ctx.data_dir / "signing.key"
    if not path.exists():
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(ctx.secrets.encrypt(secrets.token_urlsafe(48)))
        fresh.rename(path)
    return ctx.secrets.decrypt(path.read_text())
