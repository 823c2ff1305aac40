"""Who is asking: the gate's way to the plugin that knows users, sessions and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cloudos_sdk.identity import Principal

SESSION_COOKIE = "cloudos_access"
"""The cookie of a browser's session; over HTTPS the name begins with `__Host-`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brings: its method, `Authorization` header, cookies, CSRF header and address."""

    method: str
    authorization: str | None
    cookies: Mapping[str, str]
    csrf_token: str | None
    address: str | None


class Authenticator(Protocol):
    """Tells who brings these credentials.

    Answers from memory on a hot request: no database, no bcrypt, no thread.
    """

    def recognise(self, authorization: str) -> Principal | None:
        """Return who brings this `Authorization` header, if that is already known in memory. Microseconds."""
        ...

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the principal, or None where there are no credentials at all.

        Raise `Unauthenticated` where the credentials do not hold (with a code: `token_expired`,
        `token_invalid`, `session_revoked`, `key_expired`, …) and `Forbidden` (`csrf_failed`) where a cookie
        comes with an unsafe method and without its CSRF token.
        """
        ...


class BearerAuthenticator(Protocol):
    """Tells who brings a bearer of one family, such as `quaz_…`, where a policy asks for that family alone."""

    @property
    def prefix(self) -> str:
        """How its bearers begin; what `Policy.bearer` names."""
        ...

    def recognise(self, authorization: str) -> Principal | None:
        """Return who brings this `Authorization` header, if that is already known in memory. Microseconds."""
        ...

    async def authenticate(self, authorization: str, address: str | None) -> Principal:
        """Return the principal. Raise `Unauthenticated` where the bearer does not hold."""
        ...


class Sessions(Protocol):
    """The sessions of people, from memory: for those who hand one on, as the proxy does to a browser."""

    def person(self, session_id: str) -> Principal | None:
        """Return whose session it is; None once it was revoked, has expired or its user was disabled."""
        ...


class Users(Protocol):
    """People as the node knows them now, from memory: for plugins that keep something in a user's name."""

    def find(self, user_id: str) -> Principal | None:
        """Return a user with the role as of now, without a session; None where there is none, or a disabled one."""
        ...

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed(user_id)` on the event loop after each change of what a user may do; return what ends it.

        That is a change of role, state or password, the deletion of the user, and the end of a session or an API key,
        once it is committed and in force.
        """
        ...
