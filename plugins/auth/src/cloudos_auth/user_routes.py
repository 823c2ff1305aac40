"""The endpoints of users and API keys."""

from __future__ import annotations

from cloudos_sdk import Forbidden, Role, principal, requires, signed_in, use
from cloudos_sdk.http import answers
from quart import Blueprint
from quart_schema import validate_request, validate_response

from cloudos_auth.keys import ApiKeys
from cloudos_auth.schemas import KeyCreatedOut, KeyOut, NewAccount, NewKey, UserChange, UserOut
from cloudos_auth.users import UserService

administration = Blueprint("administration", __name__)


@administration.get("/api/users")
@requires("users:read")
@validate_response(list[UserOut])
async def list_users() -> list[UserOut]:
    """List the users, oldest first."""
    return [UserOut.model_validate(user, from_attributes=True) for user in use(UserService).all()]


@administration.post("/api/users")
@requires("users:write")
@validate_request(NewAccount)
@validate_response(UserOut, 201)
async def create_user(data: NewAccount) -> tuple[UserOut, int]:
    """Make a user."""
    return UserOut.model_validate(await use(UserService).create(principal(), data), from_attributes=True), 201


@administration.get("/api/users/<user_id>")
@requires("users:read")
@validate_response(UserOut)
async def get_user(user_id: str) -> UserOut:
    """Return a user."""
    return UserOut.model_validate(use(UserService).get(user_id), from_attributes=True)


@administration.put("/api/users/<user_id>")
@requires("users:write")
@validate_request(UserChange)
@validate_response(UserOut)
async def change_user(user_id: str, data: UserChange) -> UserOut:
    """Change a user's role or password, or disable the user; it holds on the next request."""
    return UserOut.model_validate(await use(UserService).change(principal(), user_id, data), from_attributes=True)


@administration.delete("/api/users/<user_id>")
@requires("users:write")
@answers(204)
async def delete_user(user_id: str) -> tuple[str, int]:
    """Delete a user, with all sessions and keys."""
    await use(UserService).delete(principal(), user_id)
    return "", 204


@administration.get("/api/keys")
@signed_in
@validate_response(list[KeyOut])
async def list_keys() -> list[KeyOut]:
    """List the API keys, newest first; without `keys:read` only the caller's own."""
    return use(ApiKeys).list(_own_only("keys:read"))


@administration.post("/api/keys")
@requires("keys:write")
@validate_request(NewKey)
@validate_response(KeyCreatedOut, 201)
async def create_key(data: NewKey) -> tuple[KeyCreatedOut, int]:
    """Make an API key of the caller's; its text is shown this once."""
    if principal().kind != "user":
        raise Forbidden("Only a signed-in person may make a key.", code="person_required")
    key, text = await use(ApiKeys).create(principal(), data)
    return KeyCreatedOut(**use(ApiKeys).shown(key).model_dump(), key=text), 201


@administration.delete("/api/keys/<key_id>")
@signed_in
@answers(204)
async def revoke_key(key_id: str) -> tuple[str, int]:
    """Revoke an API key; it is refused from the next request on. One's own may be revoked in any role."""
    await use(ApiKeys).revoke(key_id, _own_only("keys:write"))
    return "", 204


def _own_only(permission: str) -> str | None:
    """Return None if the caller may manage all keys, else the user whose own keys they may manage.

    Raises Forbidden for everybody else.
    """
    who = principal()
    scoped = who.scopes is None or permission in who.scopes or permission.replace(":read", ":write") in who.scopes
    if who.role is Role.ADMIN and scoped:
        return None
    if who.kind != "user" or not use(ApiKeys).list(who.user_id):
        raise Forbidden(f"You lack the permission {permission}.", permission=permission)
    return who.user_id
