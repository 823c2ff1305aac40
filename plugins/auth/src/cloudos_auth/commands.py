"""The commands `cloudos user …`, for administrators who lost their password."""

from __future__ import annotations

import sys
from typing import Any

import click
from cloudos_sdk import Context

from cloudos_auth.recovery import all_users, reset_from_outside


@click.command("list")
@click.pass_obj
def list_users(obj: Any) -> None:
    """List the users."""
    for user in obj.run(all_users):
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
        return await reset_from_outside(ctx, username, password, disable_totp=disable_totp)

    if not obj.run(work):
        raise click.ClickException(f"There is no user {username!r}; `cloudos user list` shows them.")
    click.echo(f"The password of {username} is set, and all sessions of {username} have ended.")
