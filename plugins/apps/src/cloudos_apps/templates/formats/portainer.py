"""Templates in Portainer's format, version 2 or 3: https://docs.portainer.io/advanced/app-templates/format."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from cloudos_apps.templates.formats.common import (
    ConvertedTemplates,
    UnsupportedTemplate,
    icon_of,
    is_secret,
    items,
    port,
    shown_text,
    slug,
    tagged,
    text_of,
    title_of,
    version_of,
    volume,
    web_port,
)
from cloudos_apps.templates.formats.document import plain
from cloudos_apps.templates.model.substitution import escape

_KINDS = {2: "a stack for Docker Swarm, whose file is elsewhere", 3: "a stack, whose compose file is elsewhere"}
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")
_RESTART = {"always", "on-failure", "unless-stopped", "no"}


def read(document: Mapping[str, Any], source: str) -> ConvertedTemplates:
    """Convert a catalog; names become `source.name`. Raises UnsupportedTemplate if it is no catalog."""
    given = document.get("version", "")
    version = str(given) if isinstance(given, str | int) else ""
    if version not in ("2", "3"):
        raise UnsupportedTemplate(f"the version {version[:20]!r} of Portainer's format is not known; 2 and 3 are")
    found = ConvertedTemplates()
    for number, entry in enumerate(items(document.get("templates"), "templates")):
        if not isinstance(entry, Mapping):
            found.leave_out(f"entry {number + 1}", "is no object")
            continue
        title = title_of(entry, "title", "name") or f"entry {number + 1}"
        found.add(title, lambda entry=entry, title=title: _template(plain(entry), title, source))  # type: ignore[misc] # bound now
    return found


def _template(entry: Mapping[str, Any], title: str, source: str) -> dict[str, Any]:
    kind = entry.get("type")
    if kind != 1:
        raise UnsupportedTemplate(
            f"it is {_KINDS.get(kind, 'of an unknown type') if isinstance(kind, int) else 'of an unknown type'}"
        )
    if entry.get("platform", "linux") not in ("linux", ""):
        raise UnsupportedTemplate("it is not for Linux")
    name = slug(entry.get("name") or title)
    registry, image = text_of(entry.get("registry"), "registry"), text_of(entry.get("image"), "image")
    image = tagged(f"{registry.rstrip('/')}/{image}" if registry else image)
    environment, config = _environment(items(entry.get("env"), "env"))
    ports = [port(given) for given in _ports(entry.get("ports"))]
    service = {
        "name": name,
        "image": image,
        "environment": environment,
        "ports": ports,
        "volumes": [_volume(given, name) for given in items(entry.get("volumes"), "volumes")],
        "privileged": entry.get("privileged") is True,
        "network_mode": _network(entry.get("network")),
        "restart": _restart(entry.get("restart_policy")),
    }
    if entry.get("command"):
        service["command"] = _command(text_of(entry["command"], "command"))
    categories = items(entry.get("categories"), "categories")
    return {
        "name": f"{source}.{name}",
        "display_name": title,
        "description": shown_text(entry.get("description"), "description"),
        "category": slug(categories[0] if categories else "other", "other"),
        "version": version_of(image),
        "icon": icon_of(entry.get("logo")),
        "services": [service],
        "config": config,
        "web_port": web_port(ports),
    }


def _environment(given: list[Any]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    environment, config = {}, []
    for entry in given:
        if not isinstance(entry, Mapping):
            raise UnsupportedTemplate("an entry of env is no object")
        name = text_of(entry.get("name"), "the name of a variable")
        default = text_of(entry.get("default", entry.get("set")), f"the default of {name}")
        if entry.get("preset") is True:
            environment[name] = escape(default)
            continue
        if not _FIELD.fullmatch(name):
            raise UnsupportedTemplate(f"the variable {name[:60]!r} cannot be a setting")
        label = shown_text(entry.get("label"), f"the label of {name}", 200)
        field: dict[str, Any] = {"name": name, "label": label}
        if entry.get("select"):
            field |= _choice(items(entry["select"], f"select of {name}"))
        elif default:
            field["default"] = default
        if is_secret(name):
            field |= {"type": "password" if field.get("type") is None else field["type"], "secret": True}
        environment[name] = f"${{config.{name}}}"
        config.append(field)
    return environment, config


def _choice(select: list[Any]) -> dict[str, Any]:
    if not all(isinstance(option, Mapping) for option in select):
        raise UnsupportedTemplate("an option of select is no object")
    values = [text_of(option.get("value"), "an option") for option in select]
    chosen = next((value for value, option in zip(values, select, strict=True) if option.get("default") is True), None)
    return {"type": "choice", "choices": values, "default": chosen}


def _ports(given: object) -> list[Any]:
    listed = items(given, "ports")
    return [f"{host}:{inside}" for entry in listed if isinstance(entry, Mapping) for host, inside in entry.items()] + [
        entry for entry in listed if not isinstance(entry, Mapping)
    ]


def _volume(given: object, service: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UnsupportedTemplate("an entry of volumes is no object")
    bind = text_of(given.get("bind"), "bind") or None
    if bind is not None and bind.startswith("!"):
        bind = None  # an old way to ask for a volume
    return volume(text_of(given.get("container"), "container"), bind, given.get("readonly") is True, service)


def _network(given: object) -> str | None:
    if given in (None, "", "bridge"):
        return None
    if given == "host":
        return "host"
    raise UnsupportedTemplate(f"it joins the network {str(given)[:60]!r}")


def _restart(given: object) -> str:
    if given in (None, ""):
        return "unless-stopped"
    if not isinstance(given, str) or given not in _RESTART:
        raise UnsupportedTemplate(f"the restart policy {str(given)[:60]!r} is not known")
    return str(given)


def _command(text: str) -> list[str]:
    try:
        return [escape(part) for part in shlex.split(text)]
    except ValueError as error:
        raise UnsupportedTemplate(f"the command cannot be read: {error}") from None
