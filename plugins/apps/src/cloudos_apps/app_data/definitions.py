"""What an app is, as JSON by which it is made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from cloudos_sdk import InvalidRequest
from pydantic import ValidationError

from cloudos_apps.models import App
from cloudos_apps.templates.model.template import Template, Value, Volume


@dataclass(frozen=True)
class Definition:
    """A template with settings, the machine's ports, where it came from, and the rights that it had."""

    template: Template
    config: Mapping[str, Value]
    ports: Mapping[str, int]
    source: str
    rights: tuple[str, ...]
    intended: str


def written(app: App, template: Template, config: Mapping[str, Value]) -> str:
    """Return the definition of an app as it is."""
    found = {
        "template": orjson.Fragment(template.model_dump_json()),
        "config": dict(config),
        "ports": orjson.Fragment(app.ports),
        "source": app.source or "",
        "rights": orjson.Fragment(app.rights or "[]"),
        "intended": app.intended,
    }
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()


def read(text: str) -> Definition:
    """Return what a definition says. Raises InvalidRequest for one that this version cannot make."""
    try:
        found: dict[str, Any] = orjson.loads(text)
        template = Template.model_validate_json(orjson.dumps(found["template"]), context={"stored": True})
        intended = "stopped" if found.get("intended") == "stopped" else "running"
        return Definition(template, found["config"], found["ports"], found["source"], tuple(found["rights"]), intended)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"The backup holds an app that this version cannot make: {str(error)[:300]}", code="app_not_readable"
        ) from None


def apart(template: Template, config: Mapping[str, Value]) -> tuple[Template, dict[str, Value]]:
    """Return a template and settings for an app beside another one: any free ports, its own volumes for its data."""
    ports = {port.name for port in template.ports()}
    chosen = {field.name for field in template.config if field.type == "port" and field.name in ports}
    services = tuple(
        service.model_copy(
            update={
                "ports": tuple(port.model_copy(update={"host": None}) for port in service.ports),
                "volumes": tuple(_own(volume) for volume in service.volumes),
            }
        )
        for service in template.services
    )
    fields = tuple(
        field.model_copy(update={"required": False, "default": None}) if field.name in chosen else field
        for field in template.config
    )
    kept = {name: value for name, value in config.items() if name not in chosen}
    return template.model_copy(update={"services": services, "config": fields}), kept


def _own(volume: Volume) -> Volume:
    if volume.host_path is None or not volume.kept:
        return volume
    return volume.model_copy(update={"host_path": None, "name": folder_name(volume)})


def folder_name(volume: Volume) -> str:
    """Return by which name a backup knows a volume: its own, or its path of the machine as one."""
    if volume.name is not None:
        return volume.name
    text = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in volume.host_path or "")
    return f"path{text.lower()}"[:60].rstrip("-")
