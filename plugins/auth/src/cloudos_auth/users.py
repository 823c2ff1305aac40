"""Users, as an admin manages them."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import Conflict, Context, Forbidden, NotFound, Principal, new_id
from sqlmodel import Session as Db
from sqlmodel import delete, func, select

from cloudos_auth.events import PasswordChanged, UserChanged, UserCreated, UserDeleted
from cloudos_auth.identity_cache import IdentityCache
from cloudos_auth.lockout import Lockouts
from cloudos_auth.models import ApiKey, BackupCode, Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.schemas import NewAccount, UserChange
from cloudos_auth.totp import SecondFactors


class UserService:
    """Creates, changes and deletes users. The last admin who can sign in cannot be removed or demoted."""

    def __init__(
        self, ctx: Context, directory: IdentityCache, passwords: Passwords, factors: SecondFactors, lockouts: Lockouts
    ) -> None:
        self._ctx = ctx
        self._directory = directory
        self._passwords = passwords
        self._factors = factors
        self._lockouts = lockouts

    def all(self) -> list[User]:
        """Return all users, oldest first."""
        return sorted(self._directory.users.values(), key=lambda user: (user.created_at, user.id))

    def get(self, user_id: str) -> User:
        """Return a user. Raises NotFound."""
        user = self._directory.users.get(user_id)
        if user is None:
            raise NotFound("user", user_id)
        return user

    async def create(self, who: Principal, wanted: NewAccount) -> User:
        """Make a user, for a key a disabled viewer. Raises Conflict for a name that is taken, Forbidden."""
        _only_viewers_by_key(who, wanted.role)
        hashed = await self._passwords.hash(wanted.password, share=who.user_id, known=True)
        now = self._ctx.clock.now()
        user = User(id=new_id("usr"), username=wanted.username, password=hashed, role=wanted.role, created_at=now)
        user.disabled = who.kind != "user"  # until a person lets in whom a key has made
        details = f"Made the user {wanted.username} with the role {wanted.role}" + ", disabled" * user.disabled
        told = UserCreated(resource=user.id, details=details, username=user.username, role=user.role)

        def store(db: Db) -> None:
            still_admin(db, who)
            if db.execute(select(User.__table__.c.id).where(User.__table__.c.username == wanted.username)).first():
                raise Conflict("username_taken", f"There is a user named {wanted.username} already.")
            db.add(user)
            self._ctx.events.emit(db, told)
            self._directory.mirror_user(db, user.id)

        await self._ctx.db.write(store)
        return self.get(user.id)

    async def change(self, who: Principal, user_id: str, wanted: UserChange) -> User:
        """Change role, state or password; a disabled user and one with a new password are signed out at once."""
        self.get(user_id)
        if who.kind != "user" and (wanted.password is not None or wanted.reset_totp or wanted.disabled is False):
            message = (
                "An API key enables nobody and resets nobody's password or second factor; an admin who is signed in"
                " may do this."
            )
            raise Forbidden(message, code="person_required")
        values: dict[str, Any] = wanted.model_dump(include={"role", "disabled"}, exclude_none=True)
        if wanted.password is not None:
            values["password"] = await self._passwords.hash(wanted.password, share=who.user_id, known=True)

        def store(db: Db) -> None:
            still_admin(db, who)
            user = db.get(User, user_id)
            if user is None:
                raise NotFound("user", user_id)
            _only_viewers_by_key(who, user.role, wanted.role or user.role)
            before = user.role, user.disabled
            for name, value in values.items():
                setattr(user, name, value)
            db.add(user)
            db.flush()
            if user.role != "admin" or user.disabled:
                self._keep_an_admin(db, user_id)
            if (user.role, user.disabled) != before:
                state = "disabled" if user.disabled else "enabled"
                details = f"{user.username} is now {user.role}, {state}"
                self._ctx.events.emit(
                    db,
                    UserChanged(
                        resource=user_id,
                        details=details,
                        username=user.username,
                        role=user.role,
                        disabled=user.disabled,
                    ),
                )
            if wanted.password is not None:
                details = f"The password of {user.username} was reset"
                self._ctx.events.emit(db, PasswordChanged(resource=user_id, details=details, username=user.username))
            if wanted.password is not None or user.disabled:
                reason = "the user was disabled" if user.disabled else "the password was reset"
                self._directory.end_sessions(db, reason, user_id=user_id)
            if wanted.reset_totp and user.totp_secret is not None:
                self._factors.take_away(db, user)
            self._directory.mirror_user(db, user_id)

        await self._ctx.db.write(store)
        return self.get(user_id)

    async def delete(self, who: Principal, user_id: str) -> None:
        """Delete a user with sessions and keys. Raises Conflict for the last admin."""
        self.get(user_id)

        def remove(db: Db) -> None:
            still_admin(db, who)
            user = db.get(User, user_id)
            if user is None:
                raise NotFound("user", user_id)
            _only_viewers_by_key(who, user.role)
            self._keep_an_admin(db, user_id)
            for model in (Session, ApiKey, BackupCode):
                db.execute(delete(model).where(model.__table__.c.user_id == user_id))
            self._lockouts.forget_user(db, user_id)
            db.delete(user)
            told = UserDeleted(resource=user_id, details=f"Deleted the user {user.username}", username=user.username)
            self._ctx.events.emit(db, told)
            self._directory.mirror_user(db, user_id)

        await self._ctx.db.write(remove)

    def _keep_an_admin(self, db: Db, but: str) -> None:
        table = User.__table__
        others = select(func.count()).select_from(table)
        others = others.where(table.c.role == "admin", table.c.disabled.is_(False), table.c.id != but)
        if not db.execute(others).scalar():
            raise Conflict("last_admin", "This is the last admin who can sign in; make another one first.")


def still_admin(db: Db, who: Principal) -> None:
    """Raise Forbidden if the caller was demoted, disabled or deleted during the request."""
    user = db.get(User, who.user_id)
    if user is None or user.disabled or user.role != "admin":
        raise Forbidden("You are not an admin any more.", code="role_changed")
    if who.kind == "api_key" and db.get(ApiKey, who.id) is None:
        raise Forbidden("The API key was revoked meanwhile.", code="key_revoked")
    if who.session_id is not None and db.get(Session, who.session_id) is None:
        raise Forbidden("Your session has ended meanwhile; sign in again.", code="session_revoked")


def _only_viewers_by_key(who: Principal, *roles: str) -> None:
    """Raise Forbidden if a key would create more than a viewer: sessions of operators and admins have no scopes."""
    if who.kind != "user" and any(role != "viewer" for role in roles):
        message = "An API key may make, change and delete viewers only; an admin who is signed in may do this."
        raise Forbidden(message, code="person_required")
