"""Who there is, in memory: users, sessions, API keys and verified headers. The database is the truth behind it."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from cloudos_sdk import Context, Principal, Role
from sqlmodel import select

from cloudos_auth.models import ApiKey, Session, User

_CACHE = 10_000


class Directory:
    """Answers without the database. Changed only after the commit of what it mirrors."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.keys: dict[str, ApiKey] = {}
        self.known: dict[str, tuple[Principal, float]] = {}

    async def load(self) -> None:
        """Read all of it anew."""
        users, sessions, keys = await self._ctx.db.read(
            lambda s: (s.exec(select(User)).all(), s.exec(select(Session)).all(), s.exec(select(ApiKey)).all())
        )
        self.users = {user.id: user for user in users}
        self.sessions = {session.id: session for session in sessions}
        self.keys = {key.digest: key for key in keys}
        self.known = {}

    def by_name(self, username: str) -> User | None:
        """Return the user of a name."""
        return next((user for user in self.users.values() if user.username == username), None)

    def key(self, key_id: str) -> ApiKey | None:
        """Return a key by its id."""
        return next((key for key in self.keys.values() if key.id == key_id), None)

    def put_user(self, user: User) -> None:
        """Take a user as it is now."""
        self.users[user.id] = user
        self.forget(lambda principal: principal.user_id == user.id)

    def drop_user(self, user_id: str) -> None:
        """Forget a user with sessions and keys."""
        self.users.pop(user_id, None)
        self.sessions = {id: s for id, s in self.sessions.items() if s.user_id != user_id}
        self.keys = {digest: key for digest, key in self.keys.items() if key.user_id != user_id}
        self.forget(lambda principal: principal.user_id == user_id)

    def drop_session(self, session_id: str) -> None:
        """Forget a session."""
        self.sessions.pop(session_id, None)
        self.forget(lambda principal: principal.session_id == session_id)

    def drop_key(self, key: ApiKey) -> None:
        """Forget a key."""
        self.keys.pop(key.digest, None)
        self.forget(lambda principal: principal.id == key.id)

    def forget(self, wanted: Callable[[Principal], bool]) -> None:
        """Have the headers of some principals verified again."""
        self.known = {header: entry for header, entry in self.known.items() if not wanted(entry[0])}

    def remember(self, header: str, principal: Principal, expires: float) -> None:
        """Know a header until it expires (seconds since 1970)."""
        if len(self.known) >= _CACHE:
            self.known.clear()
        self.known[header] = (principal, expires)


def person(user: User, session: Session | None = None) -> Principal:
    """Return a user as the caller."""
    id = session.id if session is not None else None
    return Principal("user", user.id, user.username, Role(user.role), user.id, session_id=id)


def program(key: ApiKey, owner: User) -> Principal:
    """Return an API key as the caller: what its owner may, narrowed to its scopes."""
    scopes = frozenset(orjson.loads(key.scopes))
    return Principal("api_key", key.id, key.name, Role(owner.role), owner.id, scopes=scopes)
