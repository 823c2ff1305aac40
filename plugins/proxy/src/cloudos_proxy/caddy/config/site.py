"""A site: a route with its upstream resolved. Hashable, so that equal sites are built once."""

from __future__ import annotations

from dataclasses import dataclass

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RouteLimits:
    """The limits of a route: addresses, basic auth, body size and rate."""

    allowed_roles: tuple[str, ...] = ()
    """Roles that may come in; all with `require_auth` where it is empty."""
    ip_allow: tuple[str, ...] = ()
    """Networks that visitors must come from."""
    basic_auth: Pairs = ()
    """User name and bcrypt hash."""
    request_headers: Pairs = ()
    """Headers set on what goes to the upstream."""
    max_body_mb: int | None = None
    rate_limit: tuple[int, int] | None = None
    """Requests, and in how many seconds."""


@dataclass(frozen=True)
class Site:
    """One route as Caddy is to serve it. `dial` is host:port."""

    id: str
    hostname: str
    dial: str
    path_prefix: str = ""
    require_auth: bool = False
    ui: bool = False
    """It is the host itself, which knows its visitors and needs no gate in front."""
    limits: RouteLimits = RouteLimits()
    named: bool = False
    """`dial` is one of `dial_names`, which only the node knows."""
