"""The forward-auth endpoint and the hand-over of a sign-in."""

from __future__ import annotations

from cloudos_sdk import InvalidRequest, caller, in_person, principal, public, use
from cloudos_sdk.http import Body, Query, answers
from pydantic import BaseModel, Field
from quart import Blueprint, Response, request
from quart_schema import validate_querystring, validate_request, validate_response
from werkzeug.datastructures import Headers

from cloudos_proxy.sign_in.addresses import SignInAddresses
from cloudos_proxy.sign_in.auth_request import asked
from cloudos_proxy.sign_in.forward_auth import ForwardAuth
from cloudos_proxy.sign_in.page import PAGE_HEADERS, problem_page, sign_in_page
from cloudos_proxy.sign_in.redirects import host_of
from cloudos_proxy.sign_in.session_handoff import SessionHandoff

access_routes = Blueprint("proxy_access", __name__)
_NO_PLACE = "is not an address of this node that asks for a sign-in"


class Journey(Query):
    """The query of the sign-in page: target `to`, `state`, and `again` to sign in as another user."""

    to: str = Field(max_length=4096)
    state: str = Field(pattern=r"^[0-9a-f]{64}$")
    again: bool = False


class Arriving(Body):
    """The body of a handoff: target and state."""

    to: str = Field(max_length=4096)
    state: str = Field(pattern=r"^[0-9a-f]{64}$")


class Onward(BaseModel):
    """The address at which the route's name takes the sign-in over; it holds once, for a minute."""

    location: str


class Arrival(Query):
    """The code that a browser brings from the node."""

    code: str = Field(max_length=128)


@access_routes.get("/api/auth/validate")
@public
@answers(200)
@answers(302)
@answers(401, "text/html")
async def validate() -> Response:
    """Authenticate a request for a forward-auth proxy: 200 with `Remote-User`, `Remote-Groups`, …, or 401.

    `roles` names the roles that may come in, with commas between them; all may without it.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = await use(ForwardAuth).judge(asked(request.query_string.decode("latin-1"), headers, caller().address))
    return Response(answer.body, answer.status, headers=Headers(answer.headers))


@access_routes.get("/api/proxy/handover")
@public
@validate_querystring(Journey)
@answers(200, "text/html")
async def sign_in(query_args: Journey) -> Response:
    """Return the sign-in page for a browser sent by a route; it signs in, or continues by a POST of this path."""
    target = use(SignInAddresses).target(query_args.to)
    if target is None:
        return _problem("Nothing to sign in to", "to", _NO_PLACE)
    return Response(
        sign_in_page(target.host, ask=not use(SignInAddresses).vouched(target.host)), headers=Headers(PAGE_HEADERS)
    )


@access_routes.post("/api/proxy/handover")
@in_person
@validate_request(Arriving)
@validate_response(Onward)
async def hand_over(data: Arriving) -> Onward:
    """Return the redirect of a signed-in browser: back to its route, with a one-time code.

    A cookie alone does not get here: every port of the host receives that. The page's script sends the CSRF token too.
    """
    target, who = use(SignInAddresses).target(data.to), principal()
    if target is None:
        raise InvalidRequest.field("to", _NO_PLACE)
    return Onward(location=use(SessionHandoff).begin(who.session_id or "", target, data.state))


@access_routes.get("/api/proxy/session")
@public
@validate_querystring(Arrival)
@answers(302)
async def take_over(query_args: Arrival) -> Response:
    """Take a code for a cookie of the name that it was made for. Caddy serves this as `/.cloudos/session` there."""
    netloc = request.headers.get("X-Forwarded-Host") or request.headers.get("Host", "")
    secure = request.headers.get("X-Forwarded-Proto") == "https"
    cookies = request.headers.get("Cookie", "")
    hand_over = use(SessionHandoff)
    state = hand_over.state_of(cookies, secure=secure)
    if state is None:
        return _problem(
            "No cookie came back", "code", "needs a browser that keeps cookies; allow them for this address"
        )
    taken = hand_over.take(query_args.code, host_of(netloc), state)
    if taken is None or use(SignInAddresses).target(taken[1].url) is None:
        return _sent("/")  # spent or too old: the way begins anew, and needs no password where the session holds
    session_id, target = taken
    response = _sent(target.url)
    response.headers.add("Set-Cookie", hand_over.cookie(session_id, target))
    return response


def _sent(where: str) -> Response:
    response = Response(status=302)
    response.headers["Location"] = where
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _problem(title: str, field: str, message: str) -> Response:
    """Return an error: a page for browsers, JSON for programs."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise InvalidRequest.field(field, message)
    page = problem_page(title, f"{message[0].upper()}{message[1:]}.")
    return Response(page, 400, headers=Headers(PAGE_HEADERS))
