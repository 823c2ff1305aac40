"""What a plugin brings to the web interface, as data: pages, widgets and actions.

    from cloudos_sdk.pages import UI, Page, Widget

    manifest = Manifest(
        title="Guest book",
        ui=UI(
            assets="cloudos_plugin_guestbook.ui",
            pages=(Page(path="/guestbook", title="Guest book", icon="book", module="page.js"),),
            widgets=(Widget(id="guestbook", title="Guest book", module="widget.js", size=(2, 1)),),
        ),
    )

A module is an ES module of the folder `assets`, in the plugin's own wheel. What needs no code is `declared`.
Constructing one checks its form and raises ValueError; the host checks the rest at the start.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

API = 1
"""The version of the contract between pages and the web interface."""

Slot = Literal["apps.row", "app.page"]
Menu = Literal["main", "system", "settings", "none"]

_PATH = re.compile(r"/[a-z0-9-]+(?:/[a-z0-9-]+)*(?:/\*)?")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_MODULE = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*\.m?js")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: the member `key` (`a.b` is the member `b` of `a`), shown as `kind`."""

    key: str
    title: str
    kind: Literal["text", "code", "number", "bytes", "time", "state", "list", "boolean"] = "text"


@dataclass(frozen=True, kw_only=True)
class RowAction:
    """What can be done with a row. `{name}` in `path` is that member; `confirm` is asked before a loss."""

    title: str
    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    confirm: str | None = None
    permission: str | None = None
    show: str | None = None
    """The member of the answer to show once, e.g. a secret."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form made of a JSON Schema: `source` is read into it, `target` is sent it.

    As a table's `edit` it is filled with the row, and `{name}` in `target` is that member. `show` names the member of
    the answer that is shown once, such as a new secret.
    """

    schema: Mapping[str, Any] | type[BaseModel]
    target: str
    source: str | None = None
    method: Literal["POST", "PUT", "PATCH"] = "PUT"
    title: str = ""
    submit: str = "Save"
    permission: str | None = None
    show: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of what `source` lists; read again at events whose type begins with one of `events`."""

    source: str
    columns: tuple[Column, ...]
    title: str = ""
    empty: str = ""
    actions: tuple[RowAction, ...] = ()
    create: Form | None = None
    edit: Form | None = None
    events: tuple[str, ...] = ()
    paged: bool = False
    """The list takes `limit` and `before`."""


@dataclass(frozen=True, kw_only=True)
class Stat:
    """One number of what `source` returns, at `value` (`cpu.usage_percent`); read again each `refresh` seconds."""

    source: str
    value: str
    title: str = ""
    unit: str = ""
    refresh: int = 60


Declared = Form | Table | Stat


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page at `path`; `/*` at its end takes what lies below too.

    It is a `module` that exports `Page` (a Preact component) or `mount(element, cloudos)`, or it is `declared`. Without
    the `permission` it is not there; without the `feature` it is marked and shows what the plan lacks.
    """

    path: str
    title: str
    icon: str = "page"
    menu: Menu = "main"
    order: int = 100
    module: str | None = None
    style: str | None = None
    declared: tuple[Declared, ...] = ()
    permission: str | None = None
    feature: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no page."""
        if not _PATH.fullmatch(self.path) or self.path.startswith(("/api", "/ui")):
            raise ValueError(f"{self.path!r} is no path of a page, such as /guestbook or /guestbook/*")
        _check_content(f"the page {self.path}", self.module, self.declared)


@dataclass(frozen=True, kw_only=True)
class Widget:
    """A card of the home page, `size` cells wide and high: a `module` with `Widget` or `mount`, or `declared`."""

    id: str
    title: str
    icon: str = "page"
    module: str | None = None
    style: str | None = None
    declared: tuple[Declared, ...] = ()
    size: tuple[int, int] = (2, 2)
    dashboards: tuple[Literal["server", "personal"], ...] = ("server", "personal")
    permission: str | None = None
    feature: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no widget."""
        if not _ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no id of a widget: letters, digits and ._:-, at most 64")
        if not all(1 <= side <= 4 for side in self.size):
            raise ValueError(f"the widget {self.id} is {self.size} cells large; each side is 1 to 4")
        _check_content(f"the widget {self.id}", self.module, self.declared)


@dataclass(frozen=True, kw_only=True)
class Action:
    """A button at a place of another page: a `module` that exports `Action`, which is given what the place is about."""

    slot: Slot
    title: str
    module: str
    permission: str | None = None
    feature: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no action."""
        _check_content(f"the action {self.title}", self.module, ())


@dataclass(frozen=True, kw_only=True)
class UI:
    """All that a plugin brings: `assets` is the package folder with its modules, `api` the contract of those."""

    assets: str | None = None
    api: int = API
    pages: tuple[Page, ...] = ()
    widgets: tuple[Widget, ...] = ()
    actions: tuple[Action, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two of one name, and modules without a folder."""
        for what, names in (
            ("pages at", [page.path for page in self.pages]),
            ("widgets", [widget.id for widget in self.widgets]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {what} {twice[0]}")
        if self.assets is None and any(part.module for part in self.parts):
            raise ValueError("a module needs the folder that it lies in: `assets`")

    def folder(self) -> Path | None:
        """Return the folder of its modules; None where there is none. Imports the packages above it."""
        if self.assets is None:
            return None
        try:
            spec = importlib.util.find_spec(self.assets)
        except ModuleNotFoundError:
            return None
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        return next((Path(place) for place in places if Path(place).is_dir()), None)

    @property
    def parts(self) -> Sequence[Page | Widget | Action]:
        """Return all of them."""
        return (*self.pages, *self.widgets, *self.actions)


def _check_content(what: str, module: str | None, declared: Sequence[Declared]) -> None:
    if (module is None) == (not declared):
        raise ValueError(f"{what} needs a module, or what it declares, and not both")
    if module is not None and not _MODULE.fullmatch(module):
        raise ValueError(f"{what}: {module!r} is no ES module of its folder, such as page.js")
