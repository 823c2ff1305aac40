"""Whether the listener of an answer that stays open may still have it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cloudos_sdk import Context, Forbidden, Unauthenticated
from cloudos_sdk.capabilities import Authenticator, Credentials
from quart import Request


def still_known(ctx: Context, request: Request) -> Callable[[], Awaitable[bool]]:
    """Return a question: do the credentials that `request` came with still hold? An expired or revoked token do not."""
    authorization = request.headers.get("Authorization")
    credentials = Credentials("GET", authorization, dict(request.cookies), None, request.remote_addr)

    async def ask() -> bool:
        authenticator = ctx.find(Authenticator)
        if authenticator is None:
            return False
        if authorization is not None and authenticator.recognise(authorization) is not None:
            return True
        try:
            return await authenticator.authenticate(credentials) is not None
        except (Unauthenticated, Forbidden):
            return False

    return ask
