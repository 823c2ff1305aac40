"""Sign-in: users, sessions and tokens."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import click
from cloudos_sdk import Context, Envelope, Job, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import Authenticator, ControlPanelLink, PermissionCatalogue, Sessions, Users
from cloudos_sdk.events import UserLogin, UserLoginFailed
from quart import Blueprint

from cloudos_auth.events import OWN, PasswordChanged, TotpDisabled
from cloudos_auth.identity_cache import IdentityCache
from cloudos_auth.jobs import PURGE
from cloudos_auth.keys import ApiKeys
from cloudos_auth.lockout import Lockouts
from cloudos_auth.login import Login
from cloudos_auth.models import Base
from cloudos_auth.pages import PAGES
from cloudos_auth.passwords import Passwords
from cloudos_auth.routes import routes
from cloudos_auth.service import Accounts
from cloudos_auth.set_up_mark import SetUpMark
from cloudos_auth.settings import AuthSettings
from cloudos_auth.setup_code import SetupCode
from cloudos_auth.tokens import TokenIssuer
from cloudos_auth.totp import SecondFactors
from cloudos_auth.user_routes import administration
from cloudos_auth.users import UserService

manifest = Manifest(
    title="Sign-in",
    prefixes=("/api/auth", "/api/users", "/api/keys"),
    shares=("/api/auth/validate",),
    settings=AuthSettings,
    tables=Base,
    migrations="cloudos_auth.migrations",
    provides=(Authenticator, Sessions, Users),
    requires=(PermissionCatalogue,),
    uses=(ControlPanelLink,),
    emits=(UserLogin, UserLoginFailed, *OWN),
    permissions=(
        Permission("users:read", "See users", Role.ADMIN),
        Permission("users:write", "Make, change and delete users", Role.ADMIN),
        Permission("keys:read", "See API keys", Role.ADMIN),
        Permission("keys:write", "Make and revoke API keys", Role.ADMIN),
    ),
    command="user",
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the sign-in endpoints."""
    return [routes, administration]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the purge of expired sessions."""
    return [PURGE]


@hookimpl
def cloudos_commands() -> Sequence[click.Command]:
    """Return `cloudos user list` and `cloudos user reset-password`."""
    from cloudos_auth.commands import list_users, reset_password

    return [list_users, reset_password]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Load users and sessions and begin to recognise callers."""
    passwords = Passwords(ctx.settings.bcrypt_cost)
    directory, lockouts = IdentityCache(ctx), Lockouts(ctx)
    factors, keys = SecondFactors(ctx, directory), ApiKeys(ctx, directory)
    mint = TokenIssuer(lambda: _signing_key(ctx), ctx.clock)
    sign_in = Login(ctx, mint, directory, passwords, lockouts, factors)
    mark = SetUpMark(ctx.data_dir, ctx.log)
    code = SetupCode(ctx.data_dir, ctx.log)
    accounts = Accounts(ctx, mint, directory, passwords, lockouts, keys, sign_in, mark, code)
    await directory.load()
    if directory.users:
        mark.put()
    elif not mark.is_there():
        code.issue()
    await lockouts.load()

    async def notice(envelope: Envelope) -> None:
        """Reload after a change by another process, e.g. `cloudos user …`."""
        if envelope.actor.id == "cli":
            await directory.load()
            await lockouts.load()

    ctx.events.subscribe(notice, PasswordChanged, TotpDisabled, name="command-line")
    ctx.provide(IdentityCache, directory)
    ctx.provide(SecondFactors, factors)
    ctx.provide(ApiKeys, keys)
    ctx.provide(UserService, UserService(ctx, directory, passwords, factors, lockouts))
    ctx.provide(TokenIssuer, mint)
    ctx.provide(Login, sign_in)
    ctx.provide(Accounts, accounts)
    ctx.provide(Authenticator, accounts)
    ctx.provide(Sessions, accounts)
    ctx.provide(Users, directory)
    try:
        yield
    finally:
        await keys.close()
        passwords.close()


def _signing_key(ctx: Context) -> str:
    """Return the key of the tokens, made at the first start and kept encrypted, mode 0600."""
    path = ctx.data_dir / "signing.key"
    if not path.exists():
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(ctx.secrets.encrypt(secrets.token_urlsafe(48)))
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    return ctx.secrets.decrypt(path.read_text())
