"""Hands a sign-in at the node over to the name of a route, whose browser cookies are its own.

A browser that comes to a route without a session is given a random state for that name and is sent to the node. There,
signed in, it is given a code that holds once, for a minute, for that name, that session and that state; the
route's name takes the code for a cookie of its own, bound to the session by a keyed hash. So a code that somebody
else made, or that leaked, is worth nothing in another browser.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from cloudos_sdk import Clock
from cloudos_sdk.context import Secrets

from cloudos_proxy.caddy.config.forward_auth_handlers import (
    COOKIE,
    SECURE_COOKIE,
    SECURE_STATE_COOKIE,
    SESSION_PATH,
    STATE_COOKIE,
)
from cloudos_proxy.sign_in.auth_request import cookie_of
from cloudos_proxy.sign_in.redirects import RedirectTarget

CODE_SECONDS = 60.0
COOKIE_SECONDS = 30 * 86400
STATE_SECONDS = 86400  # a sign-in page may be left open over a meal
_MOST_CODES = 10_000


@dataclass(frozen=True, slots=True)
class _Code:
    session_id: str
    target: RedirectTarget
    state: str
    expires: float


class SessionHandoff:
    """Makes codes and cookies, and reads them. In memory: after a restart a browser goes the way again by itself."""

    def __init__(self, secrets: Secrets, clock: Clock) -> None:
        self._secrets = secrets
        self._clock = clock
        self._codes: dict[str, _Code] = {}

    def begin(self, session_id: str, target: RedirectTarget, state: str) -> str:
        """Return the address at which the target's name takes the sign-in over."""
        now = self._clock.monotonic()
        self._codes = {digest: code for digest, code in self._codes.items() if code.expires > now}
        if len(self._codes) >= _MOST_CODES:
            self._codes.pop(next(iter(self._codes)))
        code = secrets.token_urlsafe(32)
        self._codes[_digest(code)] = _Code(session_id, target, state, now + CODE_SECONDS)
        return f"{target.origin}{SESSION_PATH}?code={code}"

    def take(self, code: str, host: str, state: str) -> tuple[str, RedirectTarget] | None:
        """Redeem a code once: return its session and target, or None if it is not valid for this name and browser."""
        held = self._codes.pop(_digest(code), None)
        if held is None or held.expires <= self._clock.monotonic() or held.target.host != host:
            return None
        return (held.session_id, held.target) if hmac.compare_digest(held.state, _digest(state)) else None

    def cookie(self, session_id: str, target: RedirectTarget) -> str:
        """Return the `Set-Cookie` header of a session at the target's name."""
        name = SECURE_COOKIE if target.secure else COOKIE
        return _set_cookie(
            name, f"{session_id}.{self._mark(session_id, target.host, target.secure)}", COOKIE_SECONDS, target.secure
        )

    def session_of(self, cookies: str, host: str, *, secure: bool) -> str | None:
        """Return the session of our cookie in a `Cookie` header for this host, or None."""
        value = cookie_of(cookies, SECURE_COOKIE if secure else COOKIE)
        if value is None:
            return None
        session_id, _, mark = value.partition(".")
        same = hmac.compare_digest(mark.encode(), self._mark(session_id, host, secure).encode())
        return session_id if same else None

    def state(self, cookies: str, *, secure: bool) -> tuple[str, str]:
        """Return the digest of a browser's state, and the `Set-Cookie` header that stores the state.

        A state that the browser has already is used again, so that several of its tabs may be on their way at once.
        """
        state = self.state_of(cookies, secure=secure) or secrets.token_urlsafe(24)
        name = SECURE_STATE_COOKIE if secure else STATE_COOKIE
        return _digest(state), _set_cookie(name, state, STATE_SECONDS, secure)

    def state_of(self, cookies: str, *, secure: bool) -> str | None:
        """Return the state in a `Cookie` header."""
        value = cookie_of(cookies, SECURE_STATE_COOKIE if secure else STATE_COOKIE)
        return value if value and len(value) == 32 and value.replace("-", "").replace("_", "").isalnum() else None

    def _mark(self, session_id: str, host: str, secure: bool) -> str:
        return self._secrets.digest(f"route:{'https' if secure else 'http'}:{host}:{session_id}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _set_cookie(name: str, value: str, seconds: int, secure: bool) -> str:
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
