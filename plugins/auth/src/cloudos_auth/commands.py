"""`cloudos user …`: the way back in for who has the machine but not the password."""

from __future__ import annotations

import sys
from typing import Any

import click
from cloudos_sdk import Context
from sqlmodel import Session as Db
from sqlmodel import delete, select, update

from cloudos_auth.directory import Directory
from cloudos_auth.events import PasswordChanged
from cloudos_auth.models import Lockout, Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.totp import SecondFactors


@click.command("list")
@click.pass_obj
def list_users(obj: Any) -> None:
    """List the users."""

    async def work(ctx: Context) -> list[User]:
        rows = await ctx.db.read(lambda s: s.exec(select(User)).all())
        return sorted(rows, key=lambda user: user.username)

    for user in obj.run(work):
        marks = (", disabled" if user.disabled else "") + (", second factor" if user.totp_enabled else "")
        click.echo(f"{user.username:24} {user.role}{marks}")


@click.command("reset-password")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="Read the new password from standard input.")
@click.option("--disable-totp", is_flag=True, help="Take the second factor away too.")
@click.pass_obj
def reset_password(obj: Any, username: str, password_stdin: bool, disable_totp: bool) -> None:
    """Set a user's password, end the user's sessions and lift a lock-out."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    if len(password) < 10:
        raise click.ClickException("A password has at least 10 characters.")

    async def work(ctx: Context) -> bool:
        directory = Directory(ctx)
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

    if not obj.run(work):
        raise click.ClickException(f"There is no user {username!r}; `cloudos user list` shows them.")
    click.echo(f"The password of {username} is set, and all sessions of {username} have ended.")
