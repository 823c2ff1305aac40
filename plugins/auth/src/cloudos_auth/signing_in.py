"""Signing in: password, second factor, lock-out."""

from __future__ import annotations

import hmac
import secrets

from cloudos_sdk import Caller, Conflict, Context, Principal, Unauthenticated, caller, new_id
from cloudos_sdk.events import UserLogin, UserLoginFailed
from cloudos_sdk.identity import act_as
from sqlmodel import Session as Db
from sqlmodel import select

from cloudos_auth.directory import Directory, person
from cloudos_auth.lockout import Attempt, Lockouts
from cloudos_auth.models import Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.schemas import SecondFactorNeeded
from cloudos_auth.tokens import REFRESH, TokenMint
from cloudos_auth.totp import SecondFactors, wrong_code


class SigningIn:
    """Begins sessions, for who proves to be a user."""

    def __init__(
        self,
        ctx: Context,
        mint: TokenMint,
        directory: Directory,
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
        async with self._lockouts.attempt(user.id if user else None, username, caller().address) as attempt:
            checked = user.password if user else None
            if not await self._holds(attempt, password, checked) or user is None or user.disabled:
                await self.failed(attempt, username, "wrong credentials")
                raise wrong_credentials()
            if user.totp_enabled:
                return SecondFactorNeeded(temp_token=self._mint.temporary(user.id, self._mark(user)))
            return await self._begin(user, attempt, "password", None)

    async def complete(self, temp_token: str, code: str) -> Session:
        """Complete a sign-in by a code. Raises Unauthenticated, TooManyRequests."""
        claims = self._mint.claims(temp_token, "totp")
        user = self._directory.users.get(claims["sub"])
        if user is None or user.disabled or not user.totp_enabled or claims["jti"] in self._spent:
            raise wrong_code()
        if not hmac.compare_digest(str(claims.get("pwd")), self._mark(user)):  # of a password that was changed since
            raise wrong_code()
        async with self._lockouts.attempt(user.id, user.username, caller().address) as attempt:
            try:
                return await self._begin(user, attempt, "totp", code, once=(claims["jti"], float(claims["exp"])))
            except Unauthenticated:
                await self.failed(attempt, user.username, "wrong code")
                raise

    async def disable_totp(self, who: Principal, password: str, code: str) -> None:
        """Take the caller's second factor away, for password and code. Raises Conflict, Unauthenticated."""
        user = self._directory.users[who.user_id]
        if not user.totp_enabled:
            raise Conflict("totp_not_enabled", "The second factor is not in force.")
        async with self._lockouts.attempt(user.id, user.username, caller().address) as attempt:
            checked = user.password
            held = await self._holds(attempt, password, checked)

            def store(db: Db) -> bool:
                if not held or stored_password(db, user.id) != checked or not self._factors.use(db, user, code):
                    return False
                self._factors.take_away(db, user)
                return True

            if not await self._ctx.db.write(store):
                await self.failed(attempt, user.username, "wrong password or code")
                raise Unauthenticated("The password or the code does not hold.", code="invalid_credentials")

    async def confirm_totp(self, who: Principal, code: str) -> None:
        """Put the caller's second factor in force by a first code."""
        user = self._directory.users[who.user_id]
        async with self._lockouts.attempt(user.id, user.username, caller().address) as attempt:
            try:
                await self._factors.confirm(user, code)
            except Unauthenticated:
                await self.failed(attempt, user.username, "wrong code")
                raise

    async def failed(self, attempt: Attempt, username: str, reason: str) -> None:
        """Count a failure and tell of it."""
        name = username[:64]
        told = UserLoginFailed(
            resource=attempt.user_id or "", username=name, reason=reason, details=f"Sign-in failed for {name}"
        )

        def store(db: Db) -> None:
            self._lockouts.failed(db, attempt)
            self._ctx.events.emit(db, told)

        try:
            await self._ctx.db.write(store)
        except BaseException:
            self._lockouts.failed_unstored(attempt)
            raise

    async def _begin(
        self, user: User, attempt: Attempt, method: str, code: str | None, once: tuple[str, float] | None = None
    ) -> Session:
        """Make a session, where the user is still as was checked and the code holds.

        `once` is the id of the half-finished sign-in that this completes, and when its token expires.
        """
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

        def create(db: Db) -> Session:
            stored = db.get(User, user.id)
            if stored is None or stored.disabled or stored.password != user.password:  # changed while bcrypt worked
                raise wrong_credentials()
            if stored.totp_enabled and code is None:
                raise wrong_credentials()
            if once is not None and once[0] in self._spent:
                raise wrong_code()
            if code is not None and not self._factors.use(db, user, code):
                raise wrong_code()
            if once is not None:
                self._spent[once[0]] = once[1]
            self._lockouts.succeeded(db, attempt)
            db.add(session)
            self._ctx.events.emit(db, told)
            self._directory.mirror_session(db, session.id)
            return session

        try:
            await self._ctx.db.write(create)
        except Unauthenticated:
            act_as(origin)
            raise
        self._forget_spent()
        return self._directory.sessions.get(session.id, session)

    async def _holds(self, attempt: Attempt, password: str, checked: str | None) -> bool:
        return await self._passwords.check(password, checked, share=attempt.share or "", known=attempt.known)

    def _mark(self, user: User) -> str:
        """Return what binds a half-finished sign-in to the password that began it."""
        return self._ctx.secrets.digest(f"temporary:{user.id}:{user.password}")[:32]

    def _forget_spent(self) -> None:
        now = self._ctx.clock.now().timestamp()
        for jti in [jti for jti, until in self._spent.items() if until <= now]:
            del self._spent[jti]


def stored_password(db: Db, user_id: str) -> str | None:
    """Return the hash that the database has now."""
    table = User.__table__
    found: str | None = db.execute(select(table.c.password).where(table.c.id == user_id)).scalar()
    return found


def wrong_credentials() -> Unauthenticated:
    """Return the error of a wrong password and of an unknown name alike."""
    return Unauthenticated("The user name or the password is wrong.", code="invalid_credentials")


def ended() -> Unauthenticated:
    """Return the error of a session that is there no more."""
    return Unauthenticated("This session has ended; sign in again.", code="session_revoked")
