"""What the readers of other formats share: names, ports, volumes and environment variables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cloudos_apps.templates.model import Template

MEMORY_MB = 1024
"""What a service of a foreign template gets, where it does not say."""

_SECRET = re.compile(r"PASS|SECRET|TOKEN|(?:^|_)KEY(?:_|$)")
_PORT = re.compile(r"(?:(?:[\d.]+:)?(?P<host>\d{1,5}):)?(?P<container>\d{1,5})(?:/(?P<protocol>tcp|udp))?")


class Unfit(ValueError):
    """A template asks for something that cannot be represented; the message says what."""


@dataclass
class Converted:
    """The templates of a document by name, and those left out: `(name, reason)`."""

    templates: dict[str, Template] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def add(self, title: str, convert: Callable[[], Mapping[str, Any]]) -> None:
        """Convert one entry; leave it out, with the reason, where it does not fit."""
        try:
            template = Template.model_validate(convert())
        except Unfit as error:
            self.skipped.append((title, str(error)))
            return
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self.skipped.append((title, f"{place}: {first['msg']}" if place else str(first["msg"])))
            return
        if template.name in self.templates:
            self.skipped.append((title, f"there is another template {template.name} in this source"))
        else:
            self.templates[template.name] = template


def slug(text: object, otherwise: str = "app") -> str:
    """Return a name of ours made from any text, e.g. `nginx-proxy` of `Nginx Proxy!`."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
    return cleaned[:30].rstrip("-") or otherwise


def text_of(value: object, what: str, longest: int = 4000) -> str:
    """Return a scalar as text. Raises Unfit."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)[:longest]
    raise Unfit(f"{what} is no text")


def items(value: object, what: str) -> list[Any]:
    """Return a list, of nothing where there is none. Raises Unfit."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unfit(f"{what} is no list")
    return value


def port(given: object) -> dict[str, Any]:
    """Return a port written as `8080:80/tcp` or `80`. Raises Unfit."""
    match = _PORT.fullmatch(text_of(given, "a port").strip())
    if match is None:
        raise Unfit(f"the port {str(given)[:60]!r} cannot be represented")
    container, protocol = int(match["container"]), match["protocol"] or "tcp"
    return {
        "name": f"{protocol}-{container}",
        "container": container,
        "protocol": protocol,
        "host": int(match["host"]) if match["host"] else None,
    }


def volume(path: str, source: str | None, read_only: bool, service: str) -> dict[str, Any]:
    """Return a volume: a path of the machine where `source` is absolute, else one with a name.

    The same source is the same volume in all services of an app; one without a source is its service's own.
    """
    if source is not None and source.startswith("/"):
        return {"path": path, "host_path": source, "read_only": read_only}
    return {"path": path, "name": distinct(source or f"{service}{path}"), "read_only": read_only}


def distinct(text: str) -> str:
    """Return a name of ours for a text, another one for every other text."""
    name = slug(text, "data")
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def is_secret(name: str) -> bool:
    """Tell by its name whether a variable holds what nobody should see."""
    return _SECRET.search(name.upper()) is not None


def tagged(image: str) -> str:
    """Return an image reference with a tag: `latest` where it names none."""
    return image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def version_of(image: str) -> str:
    """Return the tag of an image reference."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    return tag or "latest"


def web_port(ports: Iterable[Mapping[str, Any]]) -> str | None:
    """Guess which port serves HTTP: the first one over TCP."""
    return next((str(entry["name"]) for entry in ports if entry["protocol"] == "tcp"), None)
