"""Bodies, queries and answers of the route endpoints (reference, "Reverse Proxy")."""

from __future__ import annotations

from typing import Annotated, Literal

from cloudos_sdk import Role, UtcTime
from cloudos_sdk.http import Body, Query
from pydantic import BaseModel, ConfigDict, Field

UpstreamType = Literal["app", "ui", "manual"]
Hostname = Annotated[str, Field(min_length=1, max_length=300)]


class Account(Body):
    """A name and password that a browser asks for; the password is not shown again."""

    username: str = Field(min_length=1, max_length=100, pattern=r"^[^{}:\x00-\x1f\x7f]+$")
    password: str | None = Field(default=None, min_length=1, max_length=72)


class Rate(Body):
    """How many requests in how many seconds, for each visitor's address."""

    requests: int = Field(ge=1, le=1_000_000)
    seconds: int = Field(default=60, ge=1, le=86_400)


class Options(Body):
    """The options of a route besides sign-in."""

    allowed_roles: list[Role] | None = Field(default=None, max_length=3)
    ip_allow: list[str] | None = Field(default=None, max_length=200)
    basic_auth: list[Account] | None = Field(default=None, max_length=50)
    request_headers: dict[str, str] | None = Field(default=None, max_length=50)
    path_prefix: str | None = Field(default=None, max_length=200)
    max_body_mb: int | None = Field(default=None, ge=1, le=1_000_000)
    rate_limit: Rate | None = None


class NewRoute(Options):
    """A new route: hostname and upstream, which is an app, the UI or host:port."""

    hostname: Hostname
    upstream_type: UpstreamType
    upstream_id: str | None = Field(default=None, max_length=100)
    upstream_addr: str | None = Field(default=None, max_length=300)
    require_auth: bool = False


class RouteChange(Options):
    """A change of a route; omitted fields stay, null removes an option."""

    hostname: Hostname | None = None
    upstream_type: UpstreamType | None = None
    upstream_id: str | None = Field(default=None, max_length=100)
    upstream_addr: str | None = Field(default=None, max_length=300)
    require_auth: bool | None = None


class Confirm(Query):
    """Whether re-pointing the apex is meant."""

    confirm: bool = False


class Force(Query):
    """Whether to apply although an upstream does not answer."""

    force: bool = False


class Shown(BaseModel):
    """Base of answers: built when first used, which a start need not wait for."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class AccountOut(Shown):
    """An account of a route, without its password."""

    username: str


class RouteOut(Shown):
    """A route; options that are not set are left out, values of headers that may be secret are not shown."""

    id: str
    hostname: str
    upstream_type: UpstreamType
    upstream_id: str | None = None
    upstream_addr: str | None = None
    require_auth: bool
    status: Literal["pending", "active", "error"]
    created_at: UtcTime
    kind: Literal["custom", "apex", "app"]
    error: str | None = None
    path_prefix: str | None = None
    allowed_roles: list[Role] | None = None
    ip_allow: list[str] | None = None
    basic_auth: list[AccountOut] | None = None
    request_headers: dict[str, str] | None = None
    max_body_mb: int | None = None
    rate_limit: Rate | None = None


class RouteError(Shown):
    """A route that blocks an apply, and why; `route_id` is null if it is none of the routes."""

    route_id: str | None
    hostname: str | None
    message: str


class Outcome(Shown):
    """The outcome of an apply: numbers of applied changes and unchanged routes, and errors."""

    applied: int
    unchanged: int
    errors: list[RouteError]


class Upstream(Shown):
    """A possible upstream of a route."""

    id: str
    type: UpstreamType
    name: str
    addr: str


class AppliedOut(Shown):
    """A configuration that was applied."""

    id: str
    reason: str
    routes: int
    changed: int
    applied_by: str
    current: bool
    created_at: UtcTime


class Difference(Shown):
    """A staged change: the route as it is to be and as it is served."""

    route_id: str
    hostname: str
    change: Literal["added", "changed", "removed"]
    fields: list[str]


class Diff(Shown):
    """What an apply would change."""

    changes: list[Difference]
    unchanged: int


class State(Shown):
    """The state of the proxy: open ports, Caddy's process and trouble."""

    serving: bool
    pid: int | None
    ports: dict[str, int]
    mode: Literal["own", "coexist", "external"]
    base_domain: str | None
    trouble: str | None
