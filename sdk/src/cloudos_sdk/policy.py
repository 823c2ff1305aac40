"""Access policies of endpoints. The decorators only mark views; the host's gate decides on each request.

An endpoint without one of `@public`, `@signed_in`, `@in_person`, `@requires(...)` makes its plugin invalid.
The marks go on the view function, below the route and above the validation:

    @routes.post("/api/vpn/peers")
    @requires("vpn:write")
    @validate_request(NewPeer)
    async def add_peer(data: NewPeer): ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "__cloudos_policy__"

Access = Literal["public", "signed_in", "in_person", "permission", "bearer", "undecided"]


@dataclass(frozen=True)
class Rate:
    """At most `limit` calls in `seconds`, counted for each address or each caller."""

    limit: int
    seconds: int
    by: Literal["address", "caller"] = "address"


@dataclass(frozen=True)
class Policy:
    """The conditions under which the gate admits requests to one endpoint."""

    access: Access = "undecided"
    permission: str | None = None
    bearer: str | None = None
    """With `access="bearer"`: the family of bearers that may call it, by prefix (see `BearerAuthenticator`)."""
    features: tuple[str, ...] = ()
    rate: Rate | None = None
    media_types: tuple[str, ...] = field(default=("application/json",))
    max_body: int | None = None


def policy_of(view: Callable[..., Any]) -> Policy:
    """Return the policy of a view; `access` is "undecided" if it has no mark."""
    policy = getattr(view, _ATTRIBUTE, None)
    return policy if isinstance(policy, Policy) else Policy()


def _mark(**changes: Any) -> Callable[[F], F]:
    def decorate(view: F) -> F:
        setattr(view, _ATTRIBUTE, replace(policy_of(view), **changes))
        return view

    return decorate


def public(view: F) -> F:
    """Let anybody call it."""
    return _mark(access="public")(view)


def signed_in(view: F) -> F:
    """Admit every authenticated session or API key."""
    return _mark(access="signed_in")(view)


def in_person(view: F) -> F:
    """Let a signed-in person call it, but no API key: account matters such as passwords."""
    return _mark(access="in_person")(view)


def requires(permission: str) -> Callable[[F], F]:
    """Let those call it whose role, and whose key's scopes, include `permission`."""
    return _mark(access="permission", permission=permission)


def licensed(feature: str) -> Callable[[F], F]:
    """Answer the canonical 402 if the plan lacks `feature`. Not for reading, exporting or deleting."""

    def decorate(view: F) -> F:
        return _mark(features=(*policy_of(view).features, feature))(view)

    return decorate


def limited(limit: int, seconds: int, *, by: Literal["address", "caller"] = "address") -> Callable[[F], F]:
    """Refuse with 429 after `limit` calls in `seconds`."""
    return _mark(rate=Rate(limit, seconds, by))


def accepts(*media_types: str, max_body: int | None = None) -> Callable[[F], F]:
    """Take bodies of these media types (`*/*` is any) and up to `max_body` bytes, in place of the host's limits."""
    return _mark(media_types=media_types, max_body=max_body)
