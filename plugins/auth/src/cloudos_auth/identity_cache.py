"""Users, sessions, API keys and verified headers in memory. The database is the truth behind it.

What is held is what a transaction stored, read back in that transaction and put here in the order of the commits.
Nothing is held that was copied before an await.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
from cloudos_sdk import Context, Principal, Role
from sqlmodel import Session as Db
from sqlmodel import delete, select

from cloudos_auth.events import SessionRevoked, SessionsRevoked
from cloudos_auth.models import ApiKey, Session, User

_CACHE = 10_000


class IdentityCache:
    """Answers without the database; also the capability `UserService` of other plugins."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._watchers: list[Callable[[str], None]] = []
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.keys: dict[str, ApiKey] = {}
        self.known: dict[str, tuple[Principal, float]] = {}

    async def load(self) -> None:
        """Read everything, in its order among the writes."""

        def read(db: Db) -> None:
            users = {user.id: user for user in db.exec(select(User)).all()}
            sessions = {session.id: session for session in db.exec(select(Session)).all()}
            keys = {key.digest: key for key in db.exec(select(ApiKey)).all()}

            def mirror() -> None:
                concerned = {*self.users, *users}
                self.users, self.sessions, self.keys, self.known = users, sessions, keys, {}
                for user_id in concerned:
                    self._tell(user_id)

            self._ctx.db.after_commit(db, mirror)

        await self._ctx.db.write(read)

    def find(self, user_id: str) -> Principal | None:
        """Return a user's current state; None if missing or disabled."""
        user = self.users.get(user_id)
        return None if user is None or user.disabled else person(user)

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed(user_id)` after each change of a user's rights; return how to unsubscribe."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def by_name(self, username: str) -> User | None:
        """Return the user of a name."""
        return next((user for user in self.users.values() if user.username == username), None)

    def key(self, key_id: str) -> ApiKey | None:
        """Return a key by its id."""
        return next((key for key in self.keys.values() if key.id == key_id), None)

    def mirror_user(self, db: Db, user_id: str) -> None:
        """Hold a user as the transaction in hand leaves it, once that is committed; forget one that it deleted."""
        db.flush()
        user = db.get(User, user_id, populate_existing=True)
        if user is None:
            self._ctx.db.after_commit(db, lambda: self._drop_user(user_id))
            return
        db.expunge(user)
        self._ctx.db.after_commit(db, lambda: self._put_user(user))

    def mirror_session(self, db: Db, session_id: str) -> None:
        """Hold a session as the transaction in hand leaves it, once that is committed."""
        db.flush()
        session = db.get(Session, session_id, populate_existing=True)
        if session is None:
            self._ctx.db.after_commit(db, lambda: self._drop_session(session_id))
            return
        db.expunge(session)
        self._ctx.db.after_commit(db, lambda: self.sessions.update({session_id: session}))

    def mirror_key(self, db: Db, key: ApiKey) -> None:
        """Hold a key as the transaction in hand leaves it, once that is committed; forget one that it deleted."""
        db.flush()
        stored = db.get(ApiKey, key.id, populate_existing=True)
        if stored is None:
            self._ctx.db.after_commit(db, lambda: self._drop_key(key))
            return
        db.expunge(stored)
        self._ctx.db.after_commit(db, lambda: self.keys.update({stored.digest: stored}))

    def end_sessions(self, db: Db, reason: str, *, user_id: str, but: str | None = None) -> None:
        """End a user's sessions, all or `but` one, in the transaction in hand."""
        self._end_all(db, reason, user_id, [but] if but is not None else [])

    def end_surplus(self, db: Db, user_id: str, *, but: str | None = None) -> None:
        """End a user's least recently used sessions beyond the limit, never `but`, in the transaction in hand."""
        table = Session.__table__
        latest = select(table.c.id).where(table.c.user_id == user_id, table.c.id != (but or ""))
        latest = latest.order_by(table.c.last_used_at.desc(), table.c.id)
        kept = [but] if but is not None else []
        kept += db.execute(latest.limit(self._ctx.settings.sessions_per_user - len(kept))).scalars().all()
        self._end_all(db, "newer ones took their place", user_id, kept)

    def _end_all(self, db: Db, reason: str, user_id: str, kept: list[str]) -> None:
        """End a user's sessions but the `kept`, by one statement and with one event, however many there are."""
        table = Session.__table__
        wanted = (table.c.user_id == user_id) & table.c.id.not_in(kept)
        ended = list(db.execute(select(table.c.id).where(wanted)).scalars().all())
        if len(ended) == 1:
            self.end_session(db, ended[0], reason)
        elif ended:
            db.connection().execute(delete(table).where(wanted))
            details = f"{len(ended)} sessions ended: {reason}"
            self._ctx.events.emit(
                db, SessionsRevoked(resource=user_id, details=details, reason=reason, count=len(ended))
            )
            self._ctx.db.after_commit(db, lambda: self._drop_sessions(user_id, set(ended)))

    def end_session(self, db: Db, session_id: str, reason: str) -> bool:
        """End a session in the current transaction; False if there is none."""
        table = Session.__table__
        if db.connection().execute(delete(table).where(table.c.id == session_id)).rowcount != 1:
            return False
        self._ctx.events.emit(
            db, SessionRevoked(resource=session_id, details=f"Session ended: {reason}", reason=reason)
        )
        self.mirror_session(db, session_id)
        return True

    def forget_expired(self) -> None:
        """Forget the sessions whose refresh token has expired."""
        now = self._ctx.clock.now()
        for session in [session for session in self.sessions.values() if session.expires_at <= now]:
            self._drop_session(session.id)

    def remember(self, header: str, principal: Principal, expires: float) -> None:
        """Know a header until it expires (seconds since 1970)."""
        if len(self.known) >= _CACHE:
            self.known.clear()
        self.known[header] = (principal, expires)

    def _put_user(self, user: User) -> None:
        before = self.users.get(user.id)
        self.users[user.id] = user
        if before is None or _authority(before) != _authority(user):
            self._forget(lambda principal: principal.user_id == user.id)
            self._tell(user.id)

    def _drop_user(self, user_id: str) -> None:
        self.users.pop(user_id, None)
        self.sessions = {id: s for id, s in self.sessions.items() if s.user_id != user_id}
        self.keys = {digest: key for digest, key in self.keys.items() if key.user_id != user_id}
        self._forget(lambda principal: principal.user_id == user_id)
        self._tell(user_id)

    def _drop_session(self, session_id: str) -> None:
        session = self.sessions.pop(session_id, None)
        if session is not None:
            self._forget(lambda principal: principal.session_id == session_id)
            self._tell(session.user_id)

    def _drop_sessions(self, user_id: str, ended: set[str]) -> None:
        self.sessions = {id: session for id, session in self.sessions.items() if id not in ended}
        self._forget(lambda principal: principal.session_id in ended)
        self._tell(user_id)

    def _drop_key(self, key: ApiKey) -> None:
        if self.keys.pop(key.digest, None) is not None:
            self._forget(lambda principal: principal.id == key.id)
            self._tell(key.user_id)

    def _forget(self, wanted: Callable[[Principal], bool]) -> None:
        self.known = {header: entry for header, entry in self.known.items() if not wanted(entry[0])}

    def _tell(self, user_id: str) -> None:
        for changed in list(self._watchers):
            try:
                changed(user_id)
            except Exception as error:  # a plugin's; what the others are told does not hang on it
                self._ctx.log.error("a watcher of users failed", user=user_id, exc_info=error)


def person(user: User, session: Session | None = None) -> Principal:
    """Return a user as the caller."""
    id = session.id if session is not None else None
    return Principal("user", user.id, user.username, Role(user.role), user.id, session_id=id)


def program(key: ApiKey, owner: User) -> Principal:
    """Return the principal of an API key: its owner's rights, limited to its scopes."""
    scopes = frozenset(orjson.loads(key.scopes))
    return Principal("api_key", key.id, key.name, Role(owner.role), owner.id, scopes=scopes)


def _authority(user: User) -> tuple[str, bool, str]:
    return user.role, user.disabled, user.password
