"""Authentication: how the gate asks the plugin that stores users, sessions and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cloudos_sdk.identity import Principal

SESSION_COOKIE = "cloudos_access"
"""The cookie of a browser's session; over HTTPS the name begins with `__Host-`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a request: method, `Authorization` header, cookies, CSRF header and client address."""

    method: str
    authorization: str | None
    cookies: Mapping[str, str]
    csrf_token: str | None
    address: str | None


class Authenticator(Protocol):
    """Authenticates sessions and API keys.

    Answers from memory on a hot request: no database, no bcrypt, no thread.
    """

    def recognise(self, authorization: str) -> Principal | None:
        """Return the principal of this `Authorization` header if it is cached, else None. Takes microseconds."""
        ...

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the principal, or None if the request has no credentials. Raises Unauthenticated if they are invalid.

        Raise `Unauthenticated` where the credentials do not hold (with a code: `token_expired`,
        `token_invalid`, `session_revoked`, `key_expired`, …) and `Forbidden` (`csrf_failed`) where a cookie
        comes with an unsafe method and without its CSRF token.
        """
        ...


class BearerAuthenticator(Protocol):
    """Authenticates bearers of one family, such as `quaz_…`, for endpoints whose policy names that family."""

    @property
    def prefix(self) -> str:
        """The prefix of its bearers, which `Policy.bearer` names."""
        ...

    def recognise(self, authorization: str) -> Principal | None:
        """Return the principal of this `Authorization` header if it is cached, else None. Takes microseconds."""
        ...

    async def authenticate(self, authorization: str, address: str | None) -> Principal:
        """Return the principal. Raises Unauthenticated if the bearer is invalid."""
        ...


class Sessions(Protocol):
    """The sessions of users, answered from memory; the proxy hands them on to browsers."""

    def person(self, session_id: str) -> Principal | None:
        """Return whose session it is; None once it was revoked, has expired or its user was disabled."""
        ...


class Users(Protocol):
    """People as the node knows them now, from memory: for plugins that keep something in a user's name."""

    def find(self, user_id: str) -> Principal | None:
        """Return a user with the current role, without a session; None if the user does not exist or is disabled."""
        ...

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed(user_id)` on the event loop after each change of a user's rights; return how to unsubscribe.

        That is a change of role, state or password, the deletion of the user, and the end of a session or an API key,
        once it is committed and in force.
        """
        ...
