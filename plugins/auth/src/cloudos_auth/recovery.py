"""Password reset for administrators of the machine. Works without a running plugin."""

from __future__ import annotations

from cloudos_sdk import Context
from sqlmodel import Session as Db
from sqlmodel import delete, select, update

from cloudos_auth.events import PasswordChanged
from cloudos_auth.identity_cache import IdentityCache
from cloudos_auth.models import Lockout, Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.totp import SecondFactors


async def all_users(ctx: Context) -> list[User]:
    """Return the users by name, from the database."""
    rows = await ctx.db.read(lambda s: s.exec(select(User)).all())
    return sorted(rows, key=lambda user: str(user.username))


async def reset_from_outside(ctx: Context, username: str, password: str, *, disable_totp: bool) -> bool:
    """Set a password, enable the user, end all sessions and lift every lock-out; False for an unknown user."""
    directory = IdentityCache(ctx)
    await directory.load()
    user = directory.by_name(username)
    if user is None:
        return False
    passwords = Passwords(ctx.settings.bcrypt_cost)
    hashed = await passwords.hash(password)
    passwords.close()

    def store(db: Db) -> None:
        db.execute(update(User).where(User.__table__.c.id == user.id).values(password=hashed, disabled=False))
        db.execute(delete(Session).where(Session.__table__.c.user_id == user.id))
        db.execute(delete(Lockout))
        if disable_totp and user.totp_secret is not None:
            SecondFactors(ctx, directory).take_away(db, user)
        details = f"The password of {username} was reset from the command line"
        ctx.events.emit(db, PasswordChanged(resource=user.id, details=details, username=username))

    await ctx.db.write(store)
    return True
