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
    """A browser on its way to `to`, marked by its `state`; with `again` it signs in anew."""

    to: str = Field(max_length=4096)
    state: str = Field(pattern=r"^[0-9a-f]{64}$")
    again: bool = False


class Arriving(Body):
    """Where a browser goes on to, and the mark of its state."""

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
    """Tell a forward-auth proxy who is asking: 200 and `Remote-User`, `Remote-Groups`, …; 401 where nobody may.

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
    """Show the sign-in page to a browser that comes from a route; it signs in, or goes on by the POST of this path."""
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
    """Return where a signed-in browser goes on to: back to the route it came from, with a code for it.

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
    """Say what is wrong: to a browser by a page, to all others in the contract's shape."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise InvalidRequest.field(field, message)
    page = problem_page(title, f"{message[0].upper()}{message[1:]}.")
    return Response(page, 400, headers=Headers(PAGE_HEADERS))
