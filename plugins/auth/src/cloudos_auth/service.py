"""Users, sessions and tokens. Sessions are answered from memory; the database is the truth behind it."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import Counter
from functools import partial
from typing import Any

from cloudos_sdk import CloudOSError, Conflict, Context, Forbidden, NotFound, Principal, Unauthenticated, caller, new_id
from cloudos_sdk.addresses import address_share
from cloudos_sdk.capabilities import Credentials
from sqlmodel import Session as Db
from sqlmodel import delete, select, update

from cloudos_auth.cookies import ACCESS, cookie_values
from cloudos_auth.events import PasswordChanged, SetupCompleted
from cloudos_auth.identity_cache import IdentityCache, person
from cloudos_auth.keys import PREFIX, ApiKeys
from cloudos_auth.lockout import Lockouts
from cloudos_auth.login import Login, ended, stored_password
from cloudos_auth.models import Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.rates import RateLimit
from cloudos_auth.schemas import UserOut
from cloudos_auth.set_up_mark import SetUpMark
from cloudos_auth.setup_code import SetupCode
from cloudos_auth.tokens import REFRESH, TokenIssuer

__all__ = ["Accounts", "Session"]

_MOST_REFUSED = 60
_MOST_COOKIES = 20  # of one name: a server on another port or path may have set some, and comes first


class Accounts:
    """The users and sessions; provides `Authenticator` and `Sessions`."""

    def __init__(
        self,
        ctx: Context,
        mint: TokenIssuer,
        directory: IdentityCache,
        passwords: Passwords,
        lockouts: Lockouts,
        keys: ApiKeys,
        sign_in: Login,
        mark: SetUpMark,
        code: SetupCode,
    ) -> None:
        self._ctx = ctx
        self._mint = mint
        self._directory = directory
        self._passwords = passwords
        self._lockouts = lockouts
        self._keys = keys
        self._sign_in = sign_in
        self._mark = mark
        self._code = code
        self._refused = RateLimit(ctx.clock, _MOST_REFUSED, 60.0)
        self._encoded: dict[str, tuple[User, bytes]] = {}

    async def needs_set_up(self) -> bool:
        """Tell whether the first account is still to be made."""
        return not self._directory.users and not await asyncio.to_thread(self._mark.is_there)

    async def set_up(self, username: str, password: str, code: str | None = None, *, trusted: bool = True) -> User:
        """Make the first admin. Raises Conflict where there is a user already, or was one.

        A caller who is not `trusted` needs the one-time code. Raises Forbidden.
        """
        marked = await asyncio.to_thread(self._mark.is_there)
        if self._directory.users:
            raise _already()
        if marked:
            message = "This node was set up before, and its database has no user; restore the database."
            raise Conflict("set_up_before", message)
        if not trusted and not (code and self._code.fits(code)):
            raise _no_code(code)
        hashed = await self._passwords.hash(password)
        now = self._ctx.clock.now()
        user = User(id=new_id("usr"), username=username, password=hashed, role="admin", created_at=now)

        def create(db: Db) -> None:
            if db.exec(select(User.id)).first() is not None:
                raise _already()
            db.add(user)
            details = f"Set up the admin account {username}"
            self._ctx.events.emit(db, SetupCompleted(resource=user.id, details=details, username=username))

            self._directory.mirror_user(db, user.id)

        await self._ctx.db.write(create)
        await asyncio.to_thread(self._mark.put)
        await asyncio.to_thread(self._code.withdraw)
        return self._directory.users[user.id]

    async def refresh(self, token: str) -> Session:
        """Rotate a refresh token; one used twice ends its whole session."""
        claims = self._mint.claims(token, "refresh")
        session = self._session(claims)
        used, now = claims.get("jti"), self._ctx.clock.now()
        values = {"refresh": secrets.token_hex(16), "last_used_at": now, "expires_at": now + REFRESH}

        def rotate(db: Db) -> Session | str:
            """Rotate the refresh token in its row if it is current and the user is enabled."""
            user = db.get(User, session.user_id)
            if user is None or user.disabled:
                return "ended"
            table = Session.__table__
            held = (table.c.id == session.id) & (table.c.refresh == used)
            if db.connection().execute(update(table).where(held).values(**values)).rowcount == 1:
                self._directory.mirror_session(db, session.id)
                fresh = db.get(Session, session.id)
                assert fresh is not None  # noqa: S101 # it was changed a line ago, in this transaction
                db.expunge(fresh)
                return fresh
            replayed = self._directory.end_session(db, session.id, "a refresh token was used twice")
            return "replayed" if replayed else "ended"

        outcome = await self._ctx.db.write(rotate)
        if isinstance(outcome, Session):
            return outcome
        raise _replayed() if outcome == "replayed" else ended()

    def count_refused_refresh(self) -> None:
        """Count a refresh that was refused, for the caller's address. Raises TooManyRequests."""
        self._refused.hit(address_share(caller().address or ""))

    async def change_password(self, who: Principal, current: str, new: str) -> None:
        """Change the caller's password and end the caller's other sessions, in one act."""
        user = self._directory.users[who.user_id]
        checked = await self._sign_in.check_password(who, current)
        hashed = await self._passwords.hash(new, share=user.id, known=True)
        event = PasswordChanged(
            resource=user.id, details=f"{user.username} changed the password", username=user.username
        )

        def store(db: Db) -> None:
            if db.get(Session, who.session_id) is None:
                raise ended()
            if stored_password(db, user.id) != checked:
                raise Conflict("password_changed", "The password was changed meanwhile; sign in again.")
            db.execute(update(User).where(User.__table__.c.id == user.id).values(password=hashed))
            self._lockouts.forgive_signed_in(db, user.username)
            self._ctx.events.emit(db, event)
            self._directory.end_sessions(db, "the password was changed", user_id=user.id, but=who.session_id)
            self._directory.mirror_user(db, user.id)

        await self._ctx.db.write(store)

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
        await self._ctx.db.write(lambda db: self._directory.end_session(db, session_id, "revoked"))

    async def purge_expired(self) -> None:
        """Forget the sessions whose refresh token has expired, and end those beyond the limit of a user."""
        now = self._ctx.clock.now()
        table = Session.__table__
        await self._ctx.db.write(lambda db: db.execute(delete(table).where(table.c.expires_at <= now)))
        self._directory.forget_expired()
        most = self._ctx.settings.sessions_per_user
        many = Counter(session.user_id for session in self._directory.sessions.values())
        for user_id in [user_id for user_id, count in many.items() if count > most]:
            await self._ctx.db.write(partial(self._directory.end_surplus, user_id=user_id))
        await self._lockouts.purge()

    def recognise(self, authorization: str) -> Principal | None:
        """Return the principal of a header that was verified before and is still valid, else None."""
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
            tokens = cookie_values(credentials.cookies, ACCESS)
            if not tokens:
                return None
            await self._mint.load()
            return self._by_cookie(tokens, credentials.csrf_token)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send `Authorization: Bearer <token>`.", code="token_invalid")
        if token.startswith(PREFIX):
            return self._keys.authenticate(header, token)
        await self._mint.load()
        claims = self._mint.claims(token, "access")
        principal = self._person(claims)
        self._directory.remember(header, principal, float(claims["exp"]))
        return principal

    def person(self, session_id: str) -> Principal | None:
        """Return whose session it is; None once it has ended."""
        session = self._directory.sessions.get(session_id)
        if session is None or session.expires_at <= self._ctx.clock.now():
            return None
        user = self._directory.users.get(session.user_id)
        return None if user is None or user.disabled else person(user, session)

    def csrf_token(self, session_id: str) -> str:
        """Return the token that must come with each request by cookie; it is bound to the session."""
        return self._ctx.secrets.digest(f"csrf:{session_id}")

    def refresh_token_of(self, tokens: list[str], given: str | None) -> str:
        """Return the refresh token of cookies whose session the CSRF token is bound to. Raises Forbidden."""
        for token in tokens[:_MOST_COOKIES]:
            try:
                session_id = str(self._mint.claims(token, "refresh")["sid"])
            except Unauthenticated:
                continue
            if self._is_csrf_token(session_id, given):
                return token
        raise _csrf_failed()

    def _is_csrf_token(self, session_id: str, given: str | None) -> bool:
        return hmac.compare_digest((given or "").encode(), self.csrf_token(session_id).encode())

    def _by_cookie(self, tokens: list[str], csrf_token: str | None) -> Principal:
        """Return whose cookie it is that belongs to the CSRF token.

        It is asked for with reads too: a browser sends the cookie to every port of the host, the token to this one.
        """
        if not csrf_token:
            raise _csrf_failed()
        refused: CloudOSError = _csrf_failed()
        for token in tokens[:_MOST_COOKIES]:
            try:
                principal = self._person(self._mint.claims(token, "access"))
            except Unauthenticated as error:
                refused = error
                continue
            if self._is_csrf_token(principal.session_id or "", csrf_token):
                return principal
        raise refused

    def _person(self, claims: dict[str, Any]) -> Principal:
        session = self._session(claims)
        user = self._directory.users.get(session.user_id)
        if user is None or user.disabled:
            raise ended()
        return person(user, session)

    def _session(self, claims: dict[str, Any]) -> Session:
        session = self._directory.sessions.get(claims["sid"])
        if session is None:
            raise ended()
        return session


def _csrf_failed() -> Forbidden:
    message = "Send the csrf_token of the answer that signed you in as X-CSRF-Token, with every request by cookie."
    return Forbidden(message, code="csrf_failed")


def _replayed() -> Unauthenticated:
    return Unauthenticated("This refresh token was used before; sign in again.", code="refresh_replayed")


def _no_code(given: str | None) -> Forbidden:
    if given:
        return Forbidden("The set-up code is wrong; the log of `cloudos serve` has it.", code="setup_code_wrong")
    message = (
        "From another machine the set-up takes the one-time code, as `code`: it is in the log of `cloudos serve`, and"
        " in the file auth/setup-code of the data folder."
    )
    return Forbidden(message, code="setup_code_required")


def _already() -> Conflict:
    return Conflict("already_set_up", "The admin account exists already; sign in.")
