"""The caller of the current request, job or operation. Set by the gate and the host."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from cloudos_sdk.events import Actor
from cloudos_sdk.manifest import Role


@dataclass(frozen=True)
class Principal:
    """A known caller.

    `kind` is user, api_key, mcp_key or system; `id` the user's or key's id; `user_id` the person's whose
    data it acts on; `scopes` None for a person (the role decides alone), else a key's scopes.
    """

    kind: str
    id: str
    name: str
    role: Role
    user_id: str
    scopes: frozenset[str] | None = None
    session_id: str | None = None

    def actor(self, address: str | None = None) -> Actor:
        """Return it as the actor of an event."""
        return Actor(self.kind, self.id, self.name, address)


@dataclass(frozen=True)
class Caller:
    """The origin of the work in hand: the principal, if any, its address and the request's id."""

    principal: Principal | None
    address: str | None = None
    request_id: str | None = None

    def actor(self) -> Actor:
        """Return the actor of an event; without a user or key it is `system` or, with a client address, `anonymous`."""
        if self.principal is not None:
            return self.principal.actor(self.address)
        if self.address is not None:
            return Actor("anonymous", "", "anonymous", self.address)
        return SYSTEM


SYSTEM = Actor("system", "system", "system")

_caller: ContextVar[Caller | None] = ContextVar("cloudos_caller", default=None)
_NOBODY = Caller(None)


def caller() -> Caller:
    """Return the origin of the work in hand; the system's own work has no principal and no address."""
    return _caller.get() or _NOBODY


def principal() -> Principal:
    """Return the signed-in caller of the request in hand; raise LookupError on a public endpoint without one."""
    found = caller().principal
    if found is None:
        raise LookupError("nobody is signed in here; the endpoint is public")
    return found


def act_as(origin: Caller) -> None:
    """Set the origin of the work in this task. For the host's gate and runners."""
    _caller.set(origin)
