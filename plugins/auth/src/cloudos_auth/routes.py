"""The sign-in endpoints."""

from __future__ import annotations

from cloudos_sdk import current, in_person, limited, principal, public, signed_in, use
from cloudos_sdk.capabilities import ControlPanelLink
from quart import Blueprint
from quart_schema import validate_request, validate_response

from cloudos_auth.schemas import (
    Account,
    Connection,
    NewPassword,
    NewUser,
    Refresh,
    SessionOut,
    SetUp,
    SignIn,
    Tokens,
    UserOut,
)
from cloudos_auth.service import Accounts

routes = Blueprint("auth", __name__)


@routes.post("/api/auth/setup")
@public
@limited(20, 60)
@validate_request(Account)
@validate_response(SetUp, 201)
async def set_up(data: Account) -> tuple[SetUp, int]:
    """Make the first admin account; only while there is none."""
    user = await use(Accounts).set_up(data.username, data.password)
    return SetUp(message="Setup complete", user=NewUser.model_validate(user, from_attributes=True)), 201


@routes.post("/api/auth/login")
@public
@limited(20, 60)
@validate_request(SignIn)
@validate_response(Tokens)
async def login(data: SignIn) -> Tokens:
    """Sign in."""
    return await use(Accounts).sign_in(data.username, data.password)


@routes.post("/api/auth/refresh")
@public
@validate_request(Refresh)
@validate_response(Tokens)
async def refresh(data: Refresh) -> Tokens:
    """Exchange a refresh token, once, for a new pair."""
    return await use(Accounts).refresh(data.refresh_token)


@routes.get("/api/auth/me")
@signed_in
@validate_response(UserOut)
async def me() -> UserOut:
    """Return the signed-in user."""
    return UserOut.model_validate(use(Accounts).user(principal()), from_attributes=True)


@routes.post("/api/auth/change-password")
@in_person
@limited(10, 60, by="caller")
@validate_request(NewPassword)
async def change_password(data: NewPassword) -> tuple[str, int]:
    """Change the password; all other sessions end."""
    await use(Accounts).change_password(principal(), data.current_password, data.new_password)
    return "", 204


@routes.post("/api/auth/logout")
@in_person
async def logout() -> tuple[str, int]:
    """End this session."""
    who = principal()
    await use(Accounts).revoke(who, who.session_id or "")
    return "", 204


@routes.get("/api/auth/sessions")
@in_person
@validate_response(list[SessionOut])
async def sessions() -> list[SessionOut]:
    """List the caller's sessions."""
    who = principal()
    return [
        SessionOut(**session.model_dump(exclude={"user_id", "refresh"}), current=session.id == who.session_id)
        for session in use(Accounts).sessions(who)
    ]


@routes.delete("/api/auth/sessions/<session_id>")
@in_person
async def revoke(session_id: str) -> tuple[str, int]:
    """End one of the caller's sessions; its tokens stop at once."""
    await use(Accounts).revoke(principal(), session_id)
    return "", 204


@routes.get("/api/auth/cp-status")
@public
@validate_response(Connection)
async def cp_status() -> Connection:
    """Tell whether the node belongs to a Control Panel."""
    link = current().find(ControlPanelLink)
    return Connection(connected=link is not None and link.connected())
