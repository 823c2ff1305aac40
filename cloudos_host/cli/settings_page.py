"""The page of every setting of the plugins, from their settings models."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import orjson
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cloudos_host.config import env_name
from cloudos_host.plugins.discovery import DiscoveredPlugin

_HEAD = """# Settings of the plugins

What `cloudos settings` prints. Each is `key = value` in the section of its plugin, or in the environment, as with the
[host's](configuration.md). A key with a dot is in a section below it: `[plugins.memory.keys]`, in the environment
`CLOUDOS_MEMORY__KEYS='{"bcrypt_cost": 13}'`.
"""
_BOUNDS = (("ge", "from {}"), ("gt", "over {}"), ("le", "to {}"), ("lt", "below {}"))


def settings_page(plugins: Iterable[DiscoveredPlugin]) -> str:
    """Return the page, as Markdown; a plugin that cannot be loaded says so in its place."""
    return "\n".join([_HEAD, *(line for found in plugins for line in _section(found))])


def _section(found: DiscoveredPlugin) -> Iterator[str]:
    try:
        manifest = importlib.import_module(found.target).manifest
    except (Exception, SystemExit) as error:  # noqa: BLE001 - plugin code; the others are shown
        yield f"## {found.id}\n\nIt cannot be loaded: {error}\n"
        return
    rows = list(_rows(manifest.settings, ""))
    if rows:
        yield f"## [plugins.{found.id}]\n"
        yield f"{manifest.title}; in the environment `CLOUDOS_{env_name(found.id)}__<KEY>`.\n"
        yield "| key | default | takes | what |\n|---|---|---|---|"
        yield from rows
        yield ""


def _rows(model: type[BaseModel], above: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield from _rows(below, f"{above}{name}.")
            continue
        what = (field.description or "").replace("|", "\\|")
        yield f"| `{above}{name}` | {_default(field)} | {_takes(field)} | {what} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == "":
        return "none"
    return f"`{_written(value)}`"


def _written(value: Any) -> str:
    if isinstance(value, tuple | list | dict | set | frozenset):
        return orjson.dumps(list(value) if not isinstance(value, dict) else value, default=str).decode()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def _takes(field: FieldInfo) -> str:
    """Return the choices, or the bounds, or the kind of value."""
    kind: Any = field.annotation
    others = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is not None and len(others) == 1 and get_origin(kind) not in (tuple, Literal):
        kind = others[0]
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    bounds = [
        text.format(limit)
        for name, text in _BOUNDS
        for bound in field.metadata
        if (limit := getattr(bound, name, None)) is not None
    ]
    return " ".join([_KINDS.get(get_origin(kind) or kind, "text"), *bounds])


_KINDS: dict[Any, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    tuple: "list",
    list: "list",
    dict: "table",
    Path: "path",
}
