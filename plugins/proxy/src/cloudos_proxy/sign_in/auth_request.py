"""The question of Caddy's forward authentication, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from werkzeug.datastructures import MultiDict
from werkzeug.http import parse_cookie

from cloudos_proxy.caddy.open_visits import Peer
from cloudos_proxy.sign_in.redirects import host_of

_PAGE = "text/html"


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """A visitor's request to a gated route, as Caddy describes it. `netloc` is its `Host` header."""

    netloc: str
    secure: bool
    method: str
    uri: str
    roles: str
    """The roles that may come in, with commas between them; empty is all."""
    authorization: str | None
    cookies: str
    wants_page: bool
    address: str | None
    forwarded: bool
    """It came by a proxy, so there is a place to come back to."""
    peer: Peer | None = None
    """The visitor's end of the connection, where the gate's own Caddy tells it."""
    csrf_token: str | None = None
    """What the node's own cookies hold nothing without."""
    route: str = ""
    """The id of the route, where the gate's own Caddy tells it."""
    shared: bool = False
    """The connection carries several requests at once."""

    @property
    def host(self) -> str:
        """The hostname that was asked for."""
        return host_of(self.netloc)


@dataclass(frozen=True, slots=True)
class AuthDecision:
    """A status with headers and a body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def asked(
    query: str,
    headers: Mapping[str, str],
    address: str | None = None,
    peer: Peer | None = None,
    *,
    shared: bool = False,
) -> AuthRequest:
    """Parse a question; header names are lower-case. Missing headers mean a program's request."""
    forwarded_host = headers.get("x-forwarded-host")
    accept = headers.get("accept", "")
    said = parse_qs(query) if query else {}
    return AuthRequest(
        netloc=forwarded_host or headers.get("host", ""),
        secure=headers.get("x-forwarded-proto") == "https",
        method=headers.get("x-forwarded-method", "GET"),
        uri=headers.get("x-forwarded-uri", "/"),
        roles=",".join(said.get("roles", ())),
        route=",".join(said.get("route", ())),
        authorization=headers.get("authorization"),
        cookies=headers.get("cookie", ""),
        wants_page=_PAGE in accept,
        address=address,
        forwarded=forwarded_host is not None,
        peer=peer,
        csrf_token=headers.get("x-csrf-token"),
        shared=shared,
    )


def cookie_of(header: str, name: str) -> str | None:
    """Return one cookie of a `Cookie` header."""
    for pair in header.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value
    return None


def cookies_of(header: str) -> MultiDict[str, str]:
    """Return the cookies of a `Cookie` header, all of one name."""
    return parse_cookie(header)
