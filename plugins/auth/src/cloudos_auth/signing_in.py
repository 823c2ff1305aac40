"""Signing in: password, second factor, lock-out."""

from __future__ import annotations

import secrets

from cloudos_sdk import Caller, Conflict, Context, Principal, Unauthenticated, caller, new_id
from cloudos_sdk.events import UserLogin, UserLoginFailed
from cloudos_sdk.identity import act_as
from sqlmodel import Session as Db
from sqlmodel import select

from cloudos_auth.directory import Directory, person
from cloudos_auth.lockout import Lockouts
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
        self._lockouts.check(username, caller().address)
        user = self._directory.by_name(username)
        checked = user.password if user else None
        if not await self._passwords.check(password, checked) or user is None or user.disabled:
            await self._failed(username, user, "wrong credentials")
            raise wrong_credentials()
        if user.totp_enabled:
            return SecondFactorNeeded(temp_token=self._mint.temporary(user.id))
        return await self._begin(user, "password", checked, None)

    async def complete(self, temp_token: str, code: str) -> Session:
        """Complete a sign-in by a code. Raises Unauthenticated, TooManyRequests."""
        claims = self._mint.claims(temp_token, "totp")
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
            if stored_password(db, user.id) != checked:  # it was changed while bcrypt worked
                raise wrong_credentials()
            if code is not None and not self._factors.use(db, user, code):
                raise wrong_code()
            self._lockouts.succeeded(db, user.username, origin.address)
            db.add(session)
            self._ctx.events.emit(db, told)
            self._ctx.db.after_commit(db, lambda: self._directory.sessions.update({session.id: session}))

        try:
            await self._ctx.db.write(create)
        except Unauthenticated:
            act_as(origin)
            raise
        return session


def stored_password(db: Db, user_id: str) -> str | None:
    """Return the hash that the database has now."""
    table = User.__table__
    found: str | None = db.execute(select(table.c.password).where(table.c.id == user_id)).scalar()
    return found


def wrong_credentials() -> Unauthenticated:
    """Return the error of a wrong password and of an unknown name alike."""
    return Unauthenticated("The user name or the password is wrong.", code="invalid_credentials")
