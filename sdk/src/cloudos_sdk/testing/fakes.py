"""Stand-ins at the capability seams. Each passes the contract of `contracts.py`, like the real provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from cloudos_sdk import Manifest, Principal, Role, Unauthenticated, hookimpl
from cloudos_sdk.capabilities import AppAddress, Credentials


class FakeAuthenticator:
    """Knows the bearers `admin`, `operator` and `viewer`."""

    def recognise(self, authorization: str) -> Principal | None:
        """Return the person of that role."""
        scheme, _, role = authorization.partition(" ")
        if scheme != "Bearer" or role not in list(Role):
            return None
        return Principal("user", f"usr_{role}", role, Role(role), f"usr_{role}")

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the person of that role; refuse any other header; None without one."""
        if credentials.authorization is None:
            return None
        known = self.recognise(credentials.authorization)
        if known is None:
            raise Unauthenticated("This token does not hold.", code="token_invalid")
        return known


class FakeApps:
    """Apps that a test puts in and changes: `FakeApps(AppAddress("app_1", "blog", "running", "127.0.0.1:80"))`."""

    def __init__(self, *apps: AppAddress) -> None:
        self.apps = {app.id: app for app in apps}

    async def list_apps(self) -> Sequence[AppAddress]:
        """Return the apps in the order in which they were put in."""
        return list(self.apps.values())

    async def find_app(self, app_id: str) -> AppAddress | None:
        """Return one app, or None."""
        return self.apps.get(app_id)


class FakePlanSource:
    """A plan that a test sets: `source.plan = "pro"` holds on the next request."""

    def __init__(self, plan: str = "community") -> None:
        self.plan = plan

    def current_plan(self) -> str:
        """Return the plan."""
        return self.plan


class FakeControlPanelLink:
    """A link that a test joins and cuts: `link.joined = True`."""

    def __init__(self, joined: bool = False) -> None:
        self.joined = joined

    def connected(self) -> bool:
        """Tell whether it is joined."""
        return self.joined


def providing(capability: type[Any], implementation: Any) -> ModuleType:
    """Return a plugin that gives others `implementation`: `cloudos` takes it beside the one under test."""
    module: Any = ModuleType(f"fake_{capability.__name__.lower()}")

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx: Any) -> AsyncIterator[None]:
        ctx.provide(capability, implementation)
        yield

    module.manifest = Manifest(title=f"Fake {capability.__name__}", provides=(capability,))
    module.cloudos_lifespan = cloudos_lifespan
    found: ModuleType = module
    return found
