"""Users, sessions and tokens. Sessions are answered from memory; the database is the truth behind it."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any

from cloudos_sdk import Caller, Conflict, Context, Forbidden, NotFound, Principal, Unauthenticated, caller, new_id
from cloudos_sdk.capabilities import Credentials
from cloudos_sdk.events import UserLogin, UserLoginFailed
from cloudos_sdk.identity import act_as
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlmodel import Session as Db
from sqlmodel import delete, select, update

from cloudos_auth.directory import Directory, person
from cloudos_auth.events import PasswordChanged, SessionRevoked, SetupCompleted
from cloudos_auth.keys import PREFIX, Keys
from cloudos_auth.lockout import Lockouts
from cloudos_auth.models import Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.schemas import SecondFactorNeeded, Tokens, UserOut
from cloudos_auth.totp import SecondFactors, wrong_code

ACCESS = timedelta(minutes=15)
REFRESH = timedelta(days=30)
ACCESS_COOKIE = "cloudos_access"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
TEMPORARY = timedelta(minutes=5)


SignedIn = Session
"""A session that has just begun or was refreshed."""


class Accounts:
    """The one who knows users and sessions; also the host's `Authenticator`."""

    def __init__(
        self,
        ctx: Context,
        key: str,
        directory: Directory,
        passwords: Passwords,
        lockouts: Lockouts,
        factors: SecondFactors,
        keys: Keys,
    ) -> None:
        self._ctx = ctx
        self._key = OctKey.import_key(key)
        self._directory = directory
        self._passwords = passwords
        self._lockouts = lockouts
        self._factors = factors
        self._keys = keys
        self._spent: dict[str, float] = {}
        self._encoded: dict[str, tuple[User, bytes]] = {}

    async def set_up(self, username: str, password: str) -> User:
        """Make the first admin. Raises Conflict where there is a user already."""
        if self._directory.users:
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
        self._directory.put_user(user)
        return user

    async def sign_in(self, username: str, password: str) -> Session | SecondFactorNeeded:
        """Return a new session, or the token that a second factor completes.

        Raises Unauthenticated, the same for an unknown name and a wrong password, and TooManyRequests when locked out.
        """
        self._lockouts.check(username, caller().address)
        user = self._directory.by_name(username)
        checked = user.password if user else None
        if not await self._passwords.check(password, checked) or user is None or user.disabled:
            await self._failed(username, user, "wrong credentials")
            raise _wrong()
        if user.totp_enabled:
            expires = self._ctx.clock.now() + TEMPORARY
            return SecondFactorNeeded(temp_token=self._encode("totp", "", user.id, secrets.token_hex(8), expires))
        return await self._begin(user, "password", checked, None)

    async def complete(self, temp_token: str, code: str) -> Session:
        """Complete a sign-in by a code. Raises Unauthenticated, TooManyRequests."""
        claims = self._claims(temp_token, "totp")
        user = self._directory.users.get(claims["sub"])
        if user is None or user.disabled or not user.totp_enabled or claims["jti"] in self._spent:
            raise wrong_code()
        self._lockouts.check(user.username, caller().address)
        try:
            session = await self._begin(user, "totp", user.password, code)
        except Unauthenticated:
            await self._failed(user.username, user, "wrong code")
            raise
        now = self._ctx.clock.now().timestamp()
        self._spent = {jti: until for jti, until in self._spent.items() if until > now} | {claims["jti"]: claims["exp"]}
        return session

    async def disable_totp(self, who: Principal, password: str, code: str) -> None:
        """Take the caller's second factor away, for password and code. Raises Conflict, Unauthenticated."""
        user = self._directory.users[who.user_id]
        if not user.totp_enabled:
            raise Conflict("totp_not_enabled", "The second factor is not in force.")
        self._lockouts.check(user.username, caller().address)
        held = await self._passwords.check(password, user.password)

        def store(db: Db) -> bool:
            if not held or not self._factors.use(db, user, code):
                return False
            self._factors.take_away(db, user)
            return True

        if not await self._ctx.db.write(store):
            await self._failed(user.username, user, "wrong password or code")
            raise Unauthenticated("The password or the code does not hold.", code="invalid_credentials")

    async def confirm_totp(self, who: Principal, code: str) -> None:
        """Put the caller's second factor in force by a first code."""
        user = self._directory.users[who.user_id]
        self._lockouts.check(user.username, caller().address)
        try:
            await self._factors.confirm(user, code)
        except Unauthenticated:
            await self._failed(user.username, user, "wrong code")
            raise

    async def _failed(self, username: str, user: User | None, reason: str) -> None:
        address = caller().address
        told = UserLoginFailed(
            resource=user.id if user else "",
            username=username[:64],
            reason=reason,
            details=f"Sign-in failed for {username[:64]}",
        )

        def store(db: Db) -> None:
            self._lockouts.failed(db, username, address)
            self._ctx.events.emit(db, told)

        await self._ctx.db.write(store)

    async def _begin(self, user: User, method: str, checked: str | None, code: str | None) -> Session:
        """Make a session, where the password is still the one that was checked and the code holds."""
        now, origin = self._ctx.clock.now(), caller()
        session = Session(
            id=new_id("sess"),
            user_id=user.id,
            refresh=secrets.token_hex(16),
            address=origin.address,
            created_at=now,
            last_used_at=now,
            expires_at=now + REFRESH,
        )
        act_as(Caller(person(user, session), origin.address, origin.request_id))
        told = UserLogin(resource=user.id, details=f"{user.username} signed in", username=user.username, method=method)

        def create(db: Db) -> None:
            if self._stored_password(db, user.id) != checked:  # it was changed while bcrypt worked
                raise _wrong()
            if code is not None and not self._factors.use(db, user, code):
                raise wrong_code()
            self._lockouts.succeeded(db, user.username, origin.address)
            db.add(session)
            self._ctx.events.emit(db, told)
            self._ctx.db.after_commit(db, lambda: self._remember(session))

        try:
            await self._ctx.db.write(create)
        except Unauthenticated:
            act_as(origin)
            raise
        return session

    async def refresh(self, token: str) -> Session:
        """Rotate a refresh token; one used twice ends its whole session."""
        claims = self._claims(token, "refresh")
        session = self._session(claims)
        if self._directory.users[session.user_id].disabled:
            raise _wrong()
        if claims.get("jti") != session.refresh:
            await self._end(session, "a refresh token was used twice")
            raise _replayed()
        used, now = session.refresh, self._ctx.clock.now()
        fresh: Session = session.model_copy(
            update={"refresh": secrets.token_hex(16), "last_used_at": now, "expires_at": now + REFRESH}
        )

        def rotate(db: Db) -> bool:
            """Change the row only where it is there and the token is still the one that holds."""
            table = Session.__table__
            values = {key: getattr(fresh, key) for key in ("refresh", "last_used_at", "expires_at")}
            statement = update(table).where(table.c.id == session.id, table.c.refresh == used).values(**values)
            rotated: bool = db.connection().execute(statement).rowcount == 1
            if rotated:
                self._ctx.db.after_commit(db, lambda: self._remember(fresh))
            return rotated

        if not await self._ctx.db.write(rotate):
            if session.id in self._directory.sessions:
                await self._end(session, "a refresh token was used twice")
            raise _replayed()
        return fresh

    async def change_password(self, who: Principal, current: str, new: str) -> None:
        """Change the caller's password and end the caller's other sessions."""
        user = self._directory.users[who.user_id]
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
            self._ctx.db.after_commit(db, lambda: self._directory.put_user(changed))

        await self._ctx.db.write(store)
        for session in self.sessions(who):
            if session.id != who.session_id:
                await self._end(session, "the password was changed")

    def user(self, who: Principal) -> User:
        """Return the caller's user."""
        return self._directory.users[who.user_id]

    def encoded_user(self, who: Principal) -> bytes:
        """Return the caller's user as JSON, encoded once for each state of the user."""
        user = self._directory.users[who.user_id]
        kept = self._encoded.get(user.id)
        if kept is None or kept[0] is not user:
            shown = UserOut.model_validate(user, from_attributes=True).model_dump_json().encode()
            kept = self._encoded[user.id] = (user, shown)
        return kept[1]

    def sessions(self, who: Principal) -> list[Session]:
        """Return the caller's sessions, newest first."""
        now = self._ctx.clock.now()
        mine = [s for s in self._directory.sessions.values() if s.user_id == who.user_id and s.expires_at > now]
        return sorted(mine, key=lambda s: (s.created_at, s.id), reverse=True)

    async def revoke(self, who: Principal, session_id: str) -> None:
        """End one of the caller's sessions, at once."""
        session = self._directory.sessions.get(session_id)
        if session is None or session.user_id != who.user_id:
            raise NotFound("session", session_id)
        await self._end(session, "revoked")

    async def purge_expired(self) -> None:
        """Forget the sessions whose refresh token has expired."""
        now = self._ctx.clock.now()
        table = Session.__table__
        await self._ctx.db.write(lambda db: db.execute(delete(table).where(table.c.expires_at <= now)))
        for session in [s for s in self._directory.sessions.values() if s.expires_at <= now]:
            self._directory.drop_session(session.id)
        await self._lockouts.purge()

    def recognise(self, authorization: str) -> Principal | None:
        """Return who brings this header, where it was verified before and still holds."""
        found = self._directory.known.get(authorization)
        if found is None:
            return None
        principal, expires = found
        if expires <= self._ctx.clock.now().timestamp():
            return None
        if principal.kind == "api_key":
            self._keys.note_use(principal.id)
        return principal

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Verify a bearer token, an API key or the cookie of a browser."""
        header = credentials.authorization
        if header is None:
            token = credentials.cookies.get(ACCESS_COOKIE)
            return self._by_cookie(token, credentials) if token else None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send `Authorization: Bearer <token>`.", code="token_invalid")
        if token.startswith(PREFIX):
            return self._keys.authenticate(header, token)
        claims = self._claims(token, "access")
        principal = self._person(claims)
        self._directory.remember(header, principal, float(claims["exp"]))
        return principal

    def csrf_token(self, session_id: str) -> str:
        """Return the token that must come with a cookie's unsafe methods; it is bound to the session."""
        return self._ctx.secrets.digest(f"csrf:{session_id}")

    def check_csrf(self, session_id: str, given: str | None) -> None:
        """Raise Forbidden `csrf_failed` where the token is not the session's."""
        if not hmac.compare_digest((given or "").encode(), self.csrf_token(session_id).encode()):
            raise Forbidden("Send the value of the cookie cloudos_csrf as X-CSRF-Token.", code="csrf_failed")

    def session_of(self, refresh_token: str) -> str:
        """Return the session that a refresh token names. Raises Unauthenticated."""
        return str(self._claims(refresh_token, "refresh")["sid"])

    def _by_cookie(self, token: str, credentials: Credentials) -> Principal:
        principal = self._person(self._claims(token, "access"))
        if credentials.method not in _SAFE:
            self.check_csrf(principal.session_id or "", credentials.csrf_token)
        return principal

    def _person(self, claims: dict[str, Any]) -> Principal:
        session = self._session(claims)
        user = self._directory.users.get(session.user_id)
        if user is None or user.disabled:
            raise Unauthenticated("This session has ended; sign in again.", code="session_revoked")
        return person(user, session)

    def _remember(self, session: Session) -> None:
        self._directory.sessions[session.id] = session

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

        self._directory.drop_session(session.id)
        await self._ctx.db.write(remove)

    def tokens(self, session: Session) -> Tokens:
        """Return the pair of tokens of a session as it is now."""
        expires = self._ctx.clock.now() + ACCESS
        access = self._encode("access", session.id, session.user_id, secrets.token_hex(8), expires)
        refresh = self._encode("refresh", session.id, session.user_id, session.refresh, session.expires_at)
        return Tokens(access_token=access, refresh_token=refresh)

    def _encode(self, kind: str, session_id: str, user_id: str, jti: str, expires: datetime) -> str:
        claims = {"typ": kind, "sid": session_id, "sub": user_id, "jti": jti, "exp": int(expires.timestamp())}
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
        session = self._directory.sessions.get(claims["sid"])
        if session is None:
            raise Unauthenticated("This session has ended; sign in again.", code="session_revoked")
        return session


def _wrong() -> Unauthenticated:
    return Unauthenticated("The user name or the password is wrong.", code="invalid_credentials")


def _replayed() -> Unauthenticated:
    return Unauthenticated("This refresh token was used before; sign in again.", code="refresh_replayed")


def _already() -> Conflict:
    return Conflict("already_set_up", "The admin account exists already; sign in.")
