"""Users, sessions and tokens. Sessions are answered from memory; the database is the truth behind it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cloudos_sdk import Conflict, Context, Event, NotFound, Principal, Role, Unauthenticated, caller, new_id
from cloudos_sdk.capabilities import Credentials
from cloudos_sdk.events import UserLogin, UserLoginFailed
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlmodel import Session as Db
from sqlmodel import delete, select, update

from cloudos_auth.models import Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.schemas import Tokens

ACCESS = timedelta(minutes=15)
REFRESH = timedelta(days=30)
_CACHE = 10_000


@dataclass(frozen=True, kw_only=True)
class SetupCompleted(Event, type="user.setup_completed"):
    """The first admin account was made."""

    username: str


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(Event, type="user.password_changed"):
    """A user changed the password."""

    username: str


@dataclass(frozen=True, kw_only=True)
class SessionRevoked(Event, type="user.session_revoked"):
    """A session was ended."""

    reason: str


class Accounts:
    """The one who knows users and sessions; also the host's `Authenticator`."""

    def __init__(self, ctx: Context, key: str, passwords: Passwords) -> None:
        self._ctx = ctx
        self._key = OctKey.import_key(key)
        self._passwords = passwords
        self._users: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._known: dict[str, tuple[Principal, float]] = {}

    async def load(self) -> None:
        """Read users and sessions into memory."""
        users, sessions = await self._ctx.db.read(lambda s: (s.exec(select(User)).all(), s.exec(select(Session)).all()))
        self._users = {user.id: user for user in users}
        self._sessions = {session.id: session for session in sessions}

    async def set_up(self, username: str, password: str) -> User:
        """Make the first admin. Raises Conflict where there is a user already."""
        if self._users:
            raise _already()
        hashed = await self._passwords.hash(password)
        now = self._ctx.clock.now()
        user = User(id=new_id("usr"), username=username, password=hashed, role="admin", created_at=now)

        def create(db: Db) -> None:
            if db.exec(select(User.id)).first() is not None:
                raise _already()
            db.add(user)
            details = f"Set up the admin account {username}"
            self._ctx.events.emit(db, SetupCompleted(resource=user.id, details=details, username=username))

        await self._ctx.db.write(create)
        self._users[user.id] = user
        return user

    async def sign_in(self, username: str, password: str) -> Tokens:
        """Return tokens of a new session. Raises Unauthenticated, the same for an unknown name and a wrong password."""
        user = next((u for u in self._users.values() if u.username == username), None)
        checked = user.password if user else None
        if not await self._passwords.check(password, checked) or user is None:
            failed = UserLoginFailed(
                resource=user.id if user else "",
                username=username[:64],
                reason="wrong credentials",
                details=f"Sign-in failed for {username[:64]}",
            )
            await self._ctx.db.write(lambda db: self._ctx.events.emit(db, failed))
            raise _wrong()
        now = self._ctx.clock.now()
        session = Session(
            id=new_id("sess"),
            user_id=user.id,
            refresh=secrets.token_hex(16),
            address=caller().address,
            created_at=now,
            last_used_at=now,
            expires_at=now + REFRESH,
        )
        signed_in = UserLogin(resource=user.id, details=f"{username} signed in", username=username, method="password")

        def create(db: Db) -> None:
            if self._stored_password(db, user.id) != checked:  # it was changed while bcrypt worked
                raise _wrong()
            db.add(session)
            self._ctx.events.emit(db, signed_in)
            self._ctx.db.after_commit(db, lambda: self._remember(session))

        await self._ctx.db.write(create)
        return self._tokens(session)

    async def refresh(self, token: str) -> Tokens:
        """Rotate a refresh token; one used twice ends its whole session."""
        claims = self._claims(token, "refresh")
        session = self._session(claims)
        if claims.get("jti") != session.refresh:
            await self._end(session, "a refresh token was used twice")
            raise _replayed()
        used, now = session.refresh, self._ctx.clock.now()
        fresh = session.model_copy(
            update={"refresh": secrets.token_hex(16), "last_used_at": now, "expires_at": now + REFRESH}
        )

        def rotate(db: Db) -> bool:
            """Change the row only where it is there and the token is still the one that holds."""
            table = Session.__table__
            values = {key: getattr(fresh, key) for key in ("refresh", "last_used_at", "expires_at")}
            statement = update(table).where(table.c.id == session.id, table.c.refresh == used).values(**values)
            rotated = db.execute(statement).rowcount == 1
            if rotated:
                self._ctx.db.after_commit(db, lambda: self._remember(fresh))
            return rotated

        if not await self._ctx.db.write(rotate):
            if session.id in self._sessions:
                await self._end(session, "a refresh token was used twice")
            raise _replayed()
        return self._tokens(fresh)

    async def change_password(self, who: Principal, current: str, new: str) -> None:
        """Change the caller's password and end the caller's other sessions."""
        user = self._users[who.user_id]
        checked = user.password
        if not await self._passwords.check(current, checked):
            raise Unauthenticated("The current password is wrong.", code="invalid_credentials")
        changed = user.model_copy(update={"password": await self._passwords.hash(new)})
        event = PasswordChanged(
            resource=user.id, details=f"{user.username} changed the password", username=user.username
        )

        def store(db: Db) -> None:
            if self._stored_password(db, user.id) != checked:
                raise Conflict("password_changed", "The password was changed meanwhile; sign in again.")
            db.execute(update(User).where(User.__table__.c.id == user.id).values(password=changed.password))
            self._ctx.events.emit(db, event)
            self._ctx.db.after_commit(db, lambda: self._users.update({user.id: changed}))

        await self._ctx.db.write(store)
        for session in self.sessions(who):
            if session.id != who.session_id:
                await self._end(session, "the password was changed")

    def user(self, who: Principal) -> User:
        """Return the caller's user."""
        return self._users[who.user_id]

    def sessions(self, who: Principal) -> list[Session]:
        """Return the caller's sessions, newest first."""
        now = self._ctx.clock.now()
        mine = [s for s in self._sessions.values() if s.user_id == who.user_id and s.expires_at > now]
        return sorted(mine, key=lambda s: (s.created_at, s.id), reverse=True)

    async def revoke(self, who: Principal, session_id: str) -> None:
        """End one of the caller's sessions, at once."""
        session = self._sessions.get(session_id)
        if session is None or session.user_id != who.user_id:
            raise NotFound("session", session_id)
        await self._end(session, "revoked")

    async def purge_expired(self) -> None:
        """Forget the sessions whose refresh token has expired."""
        now = self._ctx.clock.now()
        table = Session.__table__
        await self._ctx.db.write(lambda db: db.execute(delete(table).where(table.c.expires_at <= now)))
        self._sessions = {id: session for id, session in self._sessions.items() if session.expires_at > now}

    def recognise(self, authorization: str) -> Principal | None:
        """Return who brings this header, where it was verified before and still holds."""
        found = self._known.get(authorization)
        if found is None:
            return None
        principal, expires = found
        return principal if expires > self._ctx.clock.now().timestamp() else None

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Verify a bearer token."""
        if credentials.authorization is None:
            return None
        scheme, _, token = credentials.authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send `Authorization: Bearer <token>`.", code="token_invalid")
        claims = self._claims(token, "access")
        session = self._session(claims)
        user = self._users[session.user_id]
        principal = Principal("user", user.id, user.username, Role(user.role), user.id, session_id=session.id)
        if len(self._known) >= _CACHE:
            self._known.clear()
        self._known[credentials.authorization] = (principal, float(claims["exp"]))
        return principal

    def _remember(self, session: Session) -> None:
        self._sessions[session.id] = session

    def _stored_password(self, db: Db, user_id: str) -> str | None:
        table = User.__table__
        return db.execute(select(table.c.password).where(table.c.id == user_id)).scalar()

    async def _end(self, session: Session, reason: str) -> None:
        def remove(db: Db) -> None:
            row = db.get(Session, session.id)
            if row is not None:
                db.delete(row)
                self._ctx.events.emit(
                    db, SessionRevoked(resource=session.id, details=f"Session ended: {reason}", reason=reason)
                )

        self._sessions.pop(session.id, None)
        self._known = {k: v for k, v in self._known.items() if v[0].session_id != session.id}
        await self._ctx.db.write(remove)

    def _tokens(self, session: Session) -> Tokens:
        now = self._ctx.clock.now()
        access = self._encode("access", session, now + ACCESS)
        return Tokens(access_token=access, refresh_token=self._encode("refresh", session, session.expires_at))

    def _encode(self, kind: str, session: Session, expires: datetime) -> str:
        jti = session.refresh if kind == "refresh" else secrets.token_hex(8)
        claims = {"typ": kind, "sid": session.id, "sub": session.user_id, "jti": jti, "exp": int(expires.timestamp())}
        return jwt.encode({"alg": "HS256"}, claims, self._key)

    def _claims(self, token: str, kind: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(token, self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError, TypeError):
            raise Unauthenticated("This token does not hold.", code="token_invalid") from None
        if claims.get("typ") != kind:
            raise Unauthenticated(f"This is not an {kind} token.", code="token_invalid")
        if claims["exp"] <= self._ctx.clock.now().timestamp():
            raise Unauthenticated("This token has expired.", code="token_expired")
        return claims

    def _session(self, claims: dict[str, Any]) -> Session:
        session = self._sessions.get(claims["sid"])
        if session is None:
            raise Unauthenticated("This session has ended; sign in again.", code="session_revoked")
        return session


def _wrong() -> Unauthenticated:
    return Unauthenticated("The user name or the password is wrong.", code="invalid_credentials")


def _replayed() -> Unauthenticated:
    return Unauthenticated("This refresh token was used before; sign in again.", code="refresh_replayed")


def _already() -> Conflict:
    return Conflict("already_set_up", "The admin account exists already; sign in.")
