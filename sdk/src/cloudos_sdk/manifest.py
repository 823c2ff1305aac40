"""The manifest: what a plugin declares about itself.

A plugin module has one attribute `manifest`. Its id is the name of its entry point and its version
that of its distribution, so neither is repeated here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from cloudos_sdk.events import Event
from cloudos_sdk.pages import UI


class Role(StrEnum):
    """The three roles of a person, weakest first (users and RBAC)."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Return whether this role has all rights of `other`."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Permission:
    """A thing that may be allowed, named `<area>:read` or `<area>:write`; also an API key's scope.

    A role has it from `role` upwards. An API key with `<area>:write` has `<area>:read` too.
    """

    name: str
    title: str
    role: Role


@dataclass(frozen=True)
class Feature:
    """A part of the plugin that a plan must include, e.g. `Feature("orbit_graph", "The notes graph")`.

    `title` begins the sentence of the 402 answer: "The notes graph requires Orbit Pro."
    """

    key: str
    title: str
    required_plan: str = "pro"


@dataclass(frozen=True)
class Component:
    """A thing outside Python that the plugin needs, for `cloudos doctor`.

    `probe(settings)` runs in a thread for at most 10 s; it returns the version found and raises with
    a sentence for a person where there is none. `install` is the command that mends it.
    """

    name: str
    probe: Callable[[Any], str]
    install: str
    optional: bool = False


class PluginSettings(BaseModel):
    """Base of a plugin's settings: `[plugins.<id>]` in the TOML file, `CLOUDOS_<ID>__<KEY>` in the environment.

    A key that the model does not have is an error that names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything the host must know of a plugin before it runs any of its behaviour.

    - `prefixes`: URL prefixes that it owns; the longest owner of a path answers for it.
    - `shares`: paths below its prefixes that another plugin may claim.
    - `tables`: the base made by `model_base(<id>)`, when it has tables.
    - `migrations`: the package folder with its Alembic versions, e.g. `"cloudos_vpn.migrations"`.
    - `provides`, `requires`, `uses`: capability classes; what it requires is started before it and must
      be there, what it uses is started before it where it is there.
    - `emits`: the event classes that it may emit.
    - `command`: the name of its CLI group, when that is not its id.
    - `ui`: its pages, widgets and actions in the web interface.
    - `root`: it answers `/` and each path that nothing else owns, by its rule `/`; one plugin may.
    """

    title: str
    prefixes: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    settings: type[PluginSettings] = PluginSettings
    tables: type[Any] | None = None
    migrations: str | None = None
    permissions: tuple[Permission, ...] = ()
    features: tuple[Feature, ...] = ()
    components: tuple[Component, ...] = ()
    provides: tuple[type[Any], ...] = ()
    requires: tuple[type[Any], ...] = ()
    uses: tuple[type[Any], ...] = ()
    emits: tuple[type[Event], ...] = ()
    command: str | None = None
    ui: UI | None = None
    root: bool = False
