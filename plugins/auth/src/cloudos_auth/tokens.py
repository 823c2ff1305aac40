"""The tokens of sessions: JWT, HS256 (RFC 7519), each naming its session."""

from __future__ import annotations

import asyncio
import importlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from cloudos_sdk import Clock, Unauthenticated, Unavailable

from cloudos_auth.models import Session
from cloudos_auth.schemas import Tokens

ACCESS = timedelta(minutes=15)
REFRESH = timedelta(days=30)
TEMPORARY = timedelta(minutes=5)


class TokenIssuer:
    """Makes tokens and reads them."""

    def __init__(self, key: Callable[[], str], clock: Clock) -> None:
        self._secret = key
        self._clock = clock

    async def load(self) -> None:
        """Import the token library on first use, in a thread; it costs 40 ms and 10 MB."""
        if "_key" not in self.__dict__:
            await asyncio.to_thread(importlib.import_module, "joserfc.jwt")
            await asyncio.to_thread(lambda: self._key)

    def pair(self, session: Session) -> Tokens:
        """Return the pair of tokens of a session as it is now."""
        expires = self._clock.now() + ACCESS
        access = self._encode("access", session.id, session.user_id, secrets.token_hex(8), expires)
        refresh = self._encode("refresh", session.id, session.user_id, session.refresh, session.expires_at)
        return Tokens(access_token=access, refresh_token=refresh)

    def temporary(self, user_id: str, mark: str) -> str:
        """Return the token of a sign-in that waits for its second factor; `mark` binds it to the password."""
        return self._encode("totp", "", user_id, secrets.token_hex(8), self._clock.now() + TEMPORARY, pwd=mark)

    @cached_property
    def _key(self) -> Any:
        from joserfc.jwk import OctKey

        try:
            return OctKey.import_key(self._secret())
        except (ValueError, OSError) as error:
            raise Unavailable(
                f"The key of the tokens cannot be read ({error}). Put back the host.key that it was encrypted with, or"
                " remove auth/signing.key from the data folder: then everybody signs in anew.",
                code="signing_key_unreadable",
            ) from None

    def claims(self, token: str, kind: str) -> dict[str, Any]:
        """Return the claims of a token of this kind. Raises Unauthenticated."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            claims: dict[str, Any] = jwt.decode(token, self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError, TypeError):
            raise Unauthenticated("This token does not hold.", code="token_invalid") from None
        if claims.get("typ") != kind:
            raise Unauthenticated(f"This is not an {kind} token.", code="token_invalid")
        if claims["exp"] <= self._clock.now().timestamp():
            raise Unauthenticated("This token has expired.", code="token_expired")
        return claims

    def _encode(self, kind: str, session_id: str, user_id: str, jti: str, expires: datetime, **more: str) -> str:
        from joserfc import jwt

        claims = {"typ": kind, "sid": session_id, "sub": user_id, "jti": jti, "exp": int(expires.timestamp()), **more}
        return jwt.encode({"alg": "HS256"}, claims, self._key)
