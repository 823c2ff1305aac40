"""The sign-in endpoints."""

from __future__ import annotations

from cloudos_sdk import (
    Forbidden,
    InvalidRequest,
    Unauthenticated,
    caller,
    current,
    in_person,
    limited,
    principal,
    public,
    signed_in,
    use,
)
from cloudos_sdk.capabilities import ControlPanelLink
from cloudos_sdk.http import answers
from pydantic import BaseModel
from quart import Blueprint, Response, request
from quart_schema import (
    document_response,
    validate_request,
    validate_response,
)

from cloudos_auth import cookies
from cloudos_auth.cookies import set_cookie
from cloudos_auth.login import Login
from cloudos_auth.schemas import (
    Code,
    CodeAnswer,
    Connection,
    CookieSession,
    DisableTotp,
    EnableTotp,
    FirstAccount,
    NewPassword,
    NewUser,
    Refresh,
    RefreshAnswer,
    SecondFactorNeeded,
    SessionOut,
    SetUp,
    SetUpState,
    SignIn,
    SignInAnswer,
    TotpSetup,
    TotpState,
    UserOut,
)
from cloudos_auth.service import Accounts, Session
from cloudos_auth.setup_code import at_the_machine
from cloudos_auth.tokens import ACCESS, REFRESH, TokenIssuer

routes = Blueprint("auth", __name__)


def _answer(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), content_type="application/json")


def _signed_in(session: Session, *, cookie: bool) -> Response:
    """Answer with the tokens, or put them into cookies that scripts cannot read."""
    accounts = use(Accounts)
    tokens = use(TokenIssuer).pair(session)
    if not cookie:
        return _answer(tokens)
    response = _answer(CookieSession(csrf_token=accounts.csrf_token(session.id)))
    secure = "https" in (request.scheme, request.headers.get("X-Forwarded-Proto"))
    set_cookie(response, cookies.ACCESS, tokens.access_token, ACCESS, secure=secure)
    set_cookie(response, cookies.REFRESH, tokens.refresh_token, REFRESH, secure=secure)
    return response


@routes.get("/api/auth/setup")
@public
@validate_response(SetUpState)
async def set_up_state() -> SetUpState:
    """Tell whether the node waits for its first account."""
    needed = await use(Accounts).needs_set_up()
    return SetUpState(needed=needed, code_required=needed and not at_the_machine(caller().address, request.headers))


@routes.post("/api/auth/setup")
@public
@limited(20, 60)
@validate_request(FirstAccount)
@validate_response(SetUp, 201)
@answers(403)
async def set_up(data: FirstAccount) -> tuple[SetUp, int]:
    """Make the first admin account; only while there is none. From another machine it takes the one-time code."""
    user = await use(Accounts).set_up(
        data.username, data.password, data.code, trusted=at_the_machine(caller().address, request.headers)
    )
    return SetUp(message="Setup complete", user=NewUser.model_validate(user, from_attributes=True)), 201


@routes.post("/api/auth/login")
@public
@validate_request(SignIn)
@document_response(SignInAnswer)
@answers(401)
@answers(429)
async def login(data: SignIn) -> Response:
    """Sign in; with a second factor the answer has `totp_required` and a `temp_token` instead of tokens."""
    await use(TokenIssuer).load()
    begun = await use(Login).sign_in(data.username, data.password)
    if isinstance(begun, SecondFactorNeeded):
        return _answer(begun)
    return _signed_in(begun, cookie=data.cookie)


@routes.post("/api/auth/refresh")
@public
@validate_request(Refresh)
@document_response(RefreshAnswer)
@answers(401)
@answers(403)
@answers(429)
async def refresh(data: Refresh) -> Response:
    """Exchange a refresh token, once, for a new pair; a browser's comes as a cookie, and the body may be left out."""
    await use(TokenIssuer).load()
    accounts = use(Accounts)
    token, by_cookie = data.refresh_token, data.refresh_token is None
    try:
        if token is None:
            tokens = cookies.cookie_values(request.cookies, cookies.REFRESH)
            if not tokens:
                raise InvalidRequest.field("refresh_token", "is missing, and no cookie has one")
            token = accounts.refresh_token_of(tokens, request.headers.get("X-CSRF-Token"))
        return _signed_in(await accounts.refresh(token), cookie=by_cookie)
    except (Unauthenticated, Forbidden):
        accounts.count_refused_refresh()
        raise


@routes.post("/api/auth/totp/enable")
@in_person
@limited(20, 60, by="caller")
@validate_request(EnableTotp)
@validate_response(TotpSetup)
async def enable_totp(data: EnableTotp) -> TotpSetup:
    """Make a second factor for the caller; it is in force once a first code is verified.

    Later than ten minutes after the sign-in, `password` is needed.
    """
    return await use(Login).enable_totp(principal(), data.password)


@routes.post("/api/auth/totp/verify")
@public
@validate_request(Code)
@document_response(CodeAnswer)
@answers(401)
@answers(403)
@answers(429)
async def verify_totp(data: Code) -> Response:
    """Complete a sign-in by a code and its `temp_token`, or, signed in, put a new second factor in force."""
    await use(TokenIssuer).load()
    if data.temp_token is not None:
        return _signed_in(await use(Login).complete(data.temp_token, data.code), cookie=data.cookie)
    who = caller().principal
    if who is None or who.kind != "user":
        raise Unauthenticated("Sign in, or send the temp_token of a sign-in.")
    await use(Login).confirm_totp(who, data.code)
    return _answer(TotpState(totp_enabled=True))


@routes.post("/api/auth/totp/disable")
@in_person
@limited(20, 60, by="caller")
@validate_request(DisableTotp)
@validate_response(TotpState)
async def disable_totp(data: DisableTotp) -> TotpState:
    """Take the caller's second factor away, for password and code."""
    await use(Login).disable_totp(principal(), data.password, data.code)
    return TotpState(totp_enabled=False)


@routes.get("/api/auth/me")
@signed_in
@document_response(UserOut)
async def me() -> Response:
    """Return the signed-in user."""
    return Response(use(Accounts).encoded_user(principal()), content_type="application/json")


@routes.post("/api/auth/change-password")
@in_person
@limited(10, 60, by="caller")
@validate_request(NewPassword)
@answers(204)
async def change_password(data: NewPassword) -> tuple[str, int]:
    """Change the password; all other sessions end."""
    await use(Accounts).change_password(principal(), data.current_password, data.new_password)
    return "", 204


@routes.post("/api/auth/logout")
@in_person
@answers(204)
async def logout() -> Response:
    """End this session."""
    who = principal()
    await use(Accounts).revoke(who, who.session_id or "")
    response = Response(status=204)
    cookies.delete_cookies(response, request.cookies)
    return response


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
@answers(204)
async def revoke(session_id: str) -> tuple[str, int]:
    """End one of the caller's sessions; its tokens stop at once."""
    await use(Accounts).revoke(principal(), session_id)
    return "", 204


@routes.get("/api/auth/cp-status")
@public
@validate_response(Connection)
async def cp_status() -> Connection:
    """Return whether the node is connected to a Control Panel."""
    link = current().find(ControlPanelLink)
    return Connection(connected=link is not None and link.connected())
