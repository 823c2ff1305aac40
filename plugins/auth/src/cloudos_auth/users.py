"""Users, as an admin manages them."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import Conflict, Context, NotFound, new_id
from sqlmodel import Session as Db
from sqlmodel import delete, func, select, update

from cloudos_auth.directory import Directory
from cloudos_auth.events import PasswordChanged, UserChanged, UserCreated, UserDeleted
from cloudos_auth.models import ApiKey, BackupCode, Session, User
from cloudos_auth.passwords import Passwords
from cloudos_auth.schemas import NewAccount, UserChange
from cloudos_auth.totp import SecondFactors


class Users:
    """Makes, changes and deletes users. The last admin who can sign in stays one."""

    def __init__(self, ctx: Context, directory: Directory, passwords: Passwords, factors: SecondFactors) -> None:
        self._ctx = ctx
        self._directory = directory
        self._passwords = passwords
        self._factors = factors

    def all(self) -> list[User]:
        """Return all users, oldest first."""
        return sorted(self._directory.users.values(), key=lambda user: (user.created_at, user.id))

    def get(self, user_id: str) -> User:
        """Return a user. Raises NotFound."""
        user = self._directory.users.get(user_id)
        if user is None:
            raise NotFound("user", user_id)
        return user

    async def create(self, wanted: NewAccount) -> User:
        """Make a user. Raises Conflict for a name that is taken."""
        hashed = await self._passwords.hash(wanted.password)
        now = self._ctx.clock.now()
        user = User(id=new_id("usr"), username=wanted.username, password=hashed, role=wanted.role, created_at=now)
        details = f"Made the user {wanted.username} with the role {wanted.role}"
        told = UserCreated(resource=user.id, details=details, username=user.username, role=user.role)

        def store(db: Db) -> None:
            if db.execute(select(User.__table__.c.id).where(User.__table__.c.username == wanted.username)).first():
                raise Conflict("username_taken", f"There is a user named {wanted.username} already.")
            db.add(user)
            self._ctx.events.emit(db, told)
            self._ctx.db.after_commit(db, lambda: self._directory.put_user(user))

        await self._ctx.db.write(store)
        return user

    async def change(self, user_id: str, wanted: UserChange) -> User:
        """Change role, state or password; a disabled user and one with a new password are signed out at once."""
        user = self.get(user_id)
        values: dict[str, Any] = wanted.model_dump(include={"role", "disabled"}, exclude_none=True)
        if wanted.password is not None:
            values["password"] = await self._passwords.hash(wanted.password)
        changed = user.model_copy(update=values)

        def store(db: Db) -> None:
            if changed.role != "admin" or changed.disabled:
                self._keep_an_admin(db, user_id)
            if values:
                db.execute(update(User).where(User.__table__.c.id == user_id).values(**values))
            if (changed.role, changed.disabled) != (user.role, user.disabled):
                state = "disabled" if changed.disabled else "enabled"
                details = f"{user.username} is now {changed.role}, {state}"
                self._ctx.events.emit(
                    db,
                    UserChanged(
                        resource=user_id,
                        details=details,
                        username=user.username,
                        role=changed.role,
                        disabled=changed.disabled,
                    ),
                )
            if wanted.password is not None:
                details = f"The password of {user.username} was reset"
                self._ctx.events.emit(db, PasswordChanged(resource=user_id, details=details, username=user.username))
            if wanted.password is not None or changed.disabled:
                db.execute(delete(Session).where(Session.__table__.c.user_id == user_id))
                self._ctx.db.after_commit(db, lambda: self._sign_out(user_id))
            self._ctx.db.after_commit(db, lambda: self._directory.put_user(changed))
            if wanted.reset_totp and user.totp_secret is not None:
                self._factors.take_away(db, changed)

        await self._ctx.db.write(store)
        return self.get(user_id)

    async def delete(self, user_id: str) -> None:
        """Delete a user with sessions and keys. Raises Conflict for the last admin."""
        user = self.get(user_id)

        def remove(db: Db) -> None:
            self._keep_an_admin(db, user_id)
            for model in (Session, ApiKey, BackupCode):
                db.execute(delete(model).where(model.__table__.c.user_id == user_id))
            db.execute(delete(User).where(User.__table__.c.id == user_id))
            told = UserDeleted(resource=user_id, details=f"Deleted the user {user.username}", username=user.username)
            self._ctx.events.emit(db, told)
            self._ctx.db.after_commit(db, lambda: self._directory.drop_user(user_id))

        await self._ctx.db.write(remove)

    def _keep_an_admin(self, db: Db, but: str) -> None:
        table = User.__table__
        others = select(func.count()).select_from(table)
        others = others.where(table.c.role == "admin", table.c.disabled.is_(False), table.c.id != but)
        if not db.execute(others).scalar():
            raise Conflict("last_admin", "This is the last admin who can sign in; make another one first.")

    def _sign_out(self, user_id: str) -> None:
        for session in list(self._directory.sessions.values()):
            if session.user_id == user_id:
                self._directory.drop_session(session.id)
