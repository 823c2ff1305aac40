"""Events of the sign-in. `user.login` and `user.login_failed` are the SDK's."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class SetupCompleted(Event, type="user.setup_completed"):
    """The first admin account was made."""

    username: str


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(Event, type="user.password_changed"):
    """A user's password was changed."""

    username: str


@dataclass(frozen=True, kw_only=True)
class SessionRevoked(Event, type="user.session_revoked"):
    """A session was ended."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class SessionsRevoked(Event, type="user.sessions_revoked"):
    """Several sessions of a user were ended at once."""

    reason: str
    count: int


@dataclass(frozen=True, kw_only=True)
class UserCreated(Event, type="user.created"):
    """A user was made."""

    username: str
    role: str


@dataclass(frozen=True, kw_only=True)
class UserChanged(Event, type="user.changed"):
    """A user's role changed, or the user was disabled or enabled."""

    username: str
    role: str
    disabled: bool


@dataclass(frozen=True, kw_only=True)
class UserDeleted(Event, type="user.deleted"):
    """A user was deleted."""

    username: str


@dataclass(frozen=True, kw_only=True)
class TotpEnabled(Event, type="user.totp_enabled"):
    """A user's second factor is in force."""

    username: str


@dataclass(frozen=True, kw_only=True)
class TotpDisabled(Event, type="user.totp_disabled"):
    """A user's second factor was taken away."""

    username: str


@dataclass(frozen=True, kw_only=True)
class BackupCodeUsed(Event, type="user.backup_code_used"):
    """A user signed in with a backup code."""

    username: str
    left: int


@dataclass(frozen=True, kw_only=True)
class KeyCreated(Event, type="api_key.created"):
    """An API key was made."""

    name: str
    scopes: list[str]


@dataclass(frozen=True, kw_only=True)
class KeyRevoked(Event, type="api_key.revoked"):
    """An API key was revoked."""

    name: str


OWN = (
    SetupCompleted,
    PasswordChanged,
    SessionRevoked,
    SessionsRevoked,
    UserCreated,
    UserChanged,
    UserDeleted,
    TotpEnabled,
    TotpDisabled,
    BackupCodeUsed,
    KeyCreated,
    KeyRevoked,
)
