"""Signing in: password, second factor, lock-out."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from cloudos_sdk import Caller, Conflict, Context, Forbidden, Principal, Unauthenticated, caller, new_id
from cloudos_sdk.events import UserLogin, UserLoginFailed
from cloudos_sdk.identity import act_as
from sqlmodel import Session as Db
from sqlmodel import select

from cloudos_auth.identity_cache import IdentityCache, person
from cloudos_auth.lockout import Lockouts, LoginAttempt
from cloudos_auth.models import Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.schemas import SecondFactorNeeded, TotpSetup
from cloudos_auth.tokens import REFRESH, TokenIssuer
from cloudos_auth.totp import SecondFactors, wrong_code

T = TypeVar("T")

_FRESH = timedelta(minutes=10)


class Login:
    """Verifies credentials and begins sessions."""

    def __init__(
        self,
        ctx: Context,
        mint: TokenIssuer,
        directory: IdentityCache,
        passwords: Passwords,
        lockouts: Lockouts,
        factors: SecondFactors,
    ) -> None:
        self._ctx = ctx
        self._mint = mint
        self._directory = directory
        self._passwords = passwords
        self._lockouts = lockouts
        self._factors = factors
        self._spent: dict[str, float] = {}

    async def sign_in(self, username: str, password: str) -> Session | SecondFactorNeeded:
        """Return a new session, or the token that a second factor completes.

        Raises Unauthenticated, the same for an unknown name and a wrong password, and TooManyRequests when locked out.
        """
        user = self._directory.by_name(username)

        async def judge(attempt: LoginAttempt) -> Session | SecondFactorNeeded:
            checked = user.password if user else None
            if not await self._holds(attempt, password, checked) or user is None or user.disabled:
                await self._failed(attempt, username, "wrong credentials")
                raise wrong_credentials()
            if user.totp_enabled:
                return SecondFactorNeeded(temp_token=self._mint.temporary(user.id, self._mark(user)))
            return await self._begin(user, attempt)

        return await self._lockouts.judged(user.id if user else None, username, judge)

    async def complete(self, temp_token: str, code: str) -> Session:
        """Complete a sign-in by a code. Raises Unauthenticated, TooManyRequests."""
        claims = self._mint.claims(temp_token, "totp")
        user = self._directory.users.get(claims["sub"])
        if user is None or user.disabled or not user.totp_enabled or claims["jti"] in self._spent:
            raise wrong_code()
        if not hmac.compare_digest(str(claims.get("pwd")), self._mark(user)):  # of a password that was changed since
            raise wrong_code()
        begun = _Begun(claims["jti"], float(claims["exp"]), code)
        return await self._lockouts.judged(user.id, user.username, lambda attempt: self._begin(user, attempt, begun))

    async def check_password(self, who: Principal, password: str) -> str:
        """Check the password of the signed-in user; return its hash. Raises Unauthenticated, TooManyRequests."""
        user = self._directory.users[who.user_id]

        async def judge(attempt: LoginAttempt) -> str:
            checked = user.password
            if not await self._holds(attempt, password, checked):
                await self._failed(attempt, user.username, "wrong current password")
                raise Unauthenticated("The current password is wrong.", code="invalid_credentials")
            return checked

        return await self._lockouts.judged(user.id, user.username, judge, signed_in=True)

    async def enable_totp(self, who: Principal, password: str | None) -> TotpSetup:
        """Begin the caller's second factor: for the password, or soon after the sign-in.

        A stolen session that is older locks its owner out by no factor of the thief's. Raises Forbidden where the
        password is asked for, Unauthenticated where it is wrong, Conflict.
        """
        session = self._directory.sessions.get(who.session_id or "")
        if password is not None:
            await self.check_password(who, password)
        elif session is None or self._ctx.clock.now() - session.created_at > _FRESH:
            raise Forbidden("You signed in a while ago; send your `password` too.", code="password_required")
        return await self._factors.enable(self._directory.users[who.user_id])

    async def disable_totp(self, who: Principal, password: str, code: str) -> None:
        """Take the caller's second factor away, for password and code. Raises Conflict, Unauthenticated."""
        user = self._directory.users[who.user_id]
        if not user.totp_enabled:
            raise Conflict("totp_not_enabled", "The second factor is not in force.")

        async def judge(attempt: LoginAttempt) -> None:
            checked = user.password
            held = await self._holds(attempt, password, checked)

            def store(db: Db) -> bool:
                if held and stored_password(db, user.id) == checked and self._factors.use(db, user, code):
                    self._lockouts.succeeded(db, attempt)
                    self._factors.take_away(db, user)
                    return True
                self._count(db, attempt, user.username, "wrong password or code")
                return False

            if not await self._write(attempt, store):
                raise Unauthenticated("The password or the code does not hold.", code="invalid_credentials")

        await self._lockouts.judged(user.id, user.username, judge, signed_in=True)

    async def confirm_totp(self, who: Principal, code: str) -> None:
        """Put the caller's second factor in force by a first code."""
        user = self._directory.users[who.user_id]

        async def judge(attempt: LoginAttempt) -> None:
            try:
                await self._factors.confirm(user, code)
            except Unauthenticated:
                await self._failed(attempt, user.username, "wrong code")
                raise

        await self._lockouts.judged(user.id, user.username, judge, signed_in=True)

    async def _failed(self, attempt: LoginAttempt, username: str, reason: str) -> None:
        await self._write(attempt, lambda db: self._count(db, attempt, username, reason))

    def _count(self, db: Db, attempt: LoginAttempt, username: str, reason: str) -> None:
        """Count a failure and tell of it, in the transaction in hand."""
        name = username[:64]
        told = UserLoginFailed(
            resource=attempt.user_id or "", username=name, reason=reason, details=f"Sign-in failed for {name}"
        )
        self._lockouts.failed(db, attempt)
        self._ctx.events.emit(db, told)

    async def _write(self, attempt: LoginAttempt, fn: Callable[[Db], T]) -> T:
        """Write the outcome of an attempt; it counts as failed if the write fails."""
        try:
            return await self._ctx.db.write(fn)
        except Exception:
            self._lockouts.failed_unstored(attempt)
            raise

    async def _begin(self, user: User, attempt: LoginAttempt, begun: _Begun | None = None) -> Session:
        """Begin a session if the user is unchanged and the code is valid; an invalid code is counted at once."""
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
        method = "password" if begun is None else "totp"
        told = UserLogin(resource=user.id, details=f"{user.username} signed in", username=user.username, method=method)

        def holds(db: Db) -> bool:
            stored = db.get(User, user.id)
            if stored is None or stored.disabled or stored.password != user.password:  # changed while bcrypt worked
                return False
            return not stored.totp_enabled if begun is None else self._use(db, user, begun)

        def create(db: Db) -> bool:
            act_as(Caller(person(user, session), origin.address, origin.request_id))
            if not holds(db):
                act_as(origin)
                if begun is not None:
                    self._count(db, attempt, user.username, "wrong code")
                return False
            self._lockouts.succeeded(db, attempt)
            db.add(session)
            self._ctx.events.emit(db, told)
            self._directory.mirror_session(db, session.id)
            self._directory.end_surplus(db, user.id, but=session.id)
            return True

        if not await (self._ctx.db.write(create) if begun is None else self._write(attempt, create)):
            raise wrong_credentials() if begun is None else wrong_code()
        return self._directory.sessions.get(session.id, session)

    def _use(self, db: Db, user: User, begun: _Begun) -> bool:
        """Use up a code and the half-finished sign-in that it completes. The writer's thread alone changes `_spent`."""
        now = self._ctx.clock.now().timestamp()
        self._spent = {jti: until for jti, until in self._spent.items() if until > now}
        if begun.id in self._spent or not self._factors.use(db, user, begun.code):
            return False
        self._spent[begun.id] = begun.expires
        return True

    async def _holds(self, attempt: LoginAttempt, password: str, checked: str | None) -> bool:
        return await self._passwords.check(password, checked, share=attempt.share or "", known=attempt.known)

    def _mark(self, user: User) -> str:
        """Return the digest that binds the second step of a sign-in to the password of the first."""
        return self._ctx.secrets.digest(f"temporary:{user.id}:{user.password}")[:32]


@dataclass(frozen=True)
class _Begun:
    """A sign-in that a code completes: the id of its token and when that expires (seconds since 1970), and the code."""

    id: str
    expires: float
    code: str


def stored_password(db: Db, user_id: str) -> str | None:
    """Return the hash that the database has now."""
    table = User.__table__
    found: str | None = db.execute(select(table.c.password).where(table.c.id == user_id)).scalar()
    return found


def wrong_credentials() -> Unauthenticated:
    """Return the error of a wrong password and of an unknown name alike."""
    return Unauthenticated("The user name or the password is wrong.", code="invalid_credentials")


def ended() -> Unauthenticated:
    """Return the error for an ended session."""
    return Unauthenticated("This session has ended; sign in again.", code="session_revoked")
