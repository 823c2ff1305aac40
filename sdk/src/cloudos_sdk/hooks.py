"""The six hooks. This file is the plugin API: a plugin is a module with a `manifest` and any of these.

    from cloudos_sdk import Manifest, hookimpl

    manifest = Manifest(title="Hello", prefixes=("/api/hello",))

    @hookimpl
    def cloudos_routes():
        return [blueprint]

The host calls one plugin at a time and guards each call: what one plugin raises stops that plugin alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pluggy

from cloudos_sdk.context import Context
from cloudos_sdk.jobs import Job
from cloudos_sdk.policy import Policy

if TYPE_CHECKING:
    import click
    from quart import Blueprint

hookspec = pluggy.HookspecMarker("cloudos")
hookimpl = pluggy.HookimplMarker("cloudos")


@dataclass(frozen=True)
class Mount:
    """A raw ASGI application served below `path`, behind the same gate as a route with `policy`.

    `paths` describes what it serves, as OpenAPI operations by path and method: `{"/mcp": {"post": {…}}}`. The
    host adds what one must bring, and the errors of its gate. With `preflight` the application answers the question
    of a browser whether a page of another origin may call it, which comes without credentials (Fetch standard, 3.2.2).
    """

    path: str
    app: Any
    policy: Policy
    paths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preflight: bool = False


@dataclass(frozen=True)
class Health:
    """How a plugin is: `ok`, and one sentence for a person."""

    ok: bool
    detail: str = ""


@hookspec
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the blueprints. Called once, after import; does no I/O."""
    raise NotImplementedError  # pragma: no cover


@hookspec
def cloudos_mounts() -> Sequence[Mount]:
    """Return raw ASGI applications by path. Called once, after the routes."""
    raise NotImplementedError  # pragma: no cover


@hookspec
def cloudos_jobs() -> Sequence[Job]:
    """Return the periodic jobs. Called once, after the routes."""
    raise NotImplementedError  # pragma: no cover


@hookspec
def cloudos_commands() -> Sequence[click.Command]:
    """Return click commands for `cloudos <id> …`. Called by the command line only."""
    raise NotImplementedError  # pragma: no cover


@hookspec
def cloudos_lifespan(ctx: Context) -> AbstractAsyncContextManager[None]:
    """Open the plugin's resources, call `ctx.provide` for its capabilities, yield, and close them.

    Entered after migration in dependency order, and left in the reverse order by the same task.
    Entered again, with back-off, after it raised `NotReady`.
    """
    raise NotImplementedError  # pragma: no cover


@hookspec
async def cloudos_health(ctx: Context) -> Health:
    """Tell how the plugin is. Called for `/api/ready`, `cloudos doctor` and every minute."""
    raise NotImplementedError  # pragma: no cover
