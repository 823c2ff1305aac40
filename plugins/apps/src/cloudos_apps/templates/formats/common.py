"""Shared parts of the format readers: names, ports, volumes and environment variables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cloudos_apps.display_text import printable
from cloudos_apps.templates.model.template import Template

MOST_ENTRIES, MOST_REASONS = 5_000, 1_000
"""What one source may have: entries, and reasons for those left out that are kept."""
LONGEST_TEMPLATE = 256_000

_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|(?:^|_)(?:KEYS?|PWD?|DSN)(?:_|$)")
_PORT = re.compile(r"(?:(?:[\d.]+:)?(?P<host>\d{1,5}):)?(?P<container>\d{1,5})(?:/(?P<protocol>tcp|udp))?")


class UnsupportedTemplate(ValueError):
    """A template requests something that is not supported; the message says what."""


@dataclass
class ConvertedTemplates:
    """The templates of a document by name, and those left out: `(name, reason)`, the first `MOST_REASONS` of them."""

    templates: dict[str, Template] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0

    @property
    def left_out(self) -> int:
        """How many entries were left out, those without a reason kept too."""
        return self.count - len(self.templates)

    def add(self, title: str, convert: Callable[[], Mapping[str, Any]]) -> None:
        """Convert one entry; skip it with a reason if that fails in any way."""
        if self.count >= MOST_ENTRIES:
            raise UnsupportedTemplate(f"it has more than {MOST_ENTRIES} templates")
        given: Mapping[str, Any] = {}
        try:
            given = convert()
            template = Template.model_validate(given)
            self._check(template)
        except UnsupportedTemplate as error:
            self.leave_out(title, str(error))
        except ValidationError as error:
            self.leave_out(title, complaint(error, given))
        except Exception as error:  # noqa: BLE001 - somebody else's text: whatever it breaks is its own template
            self.leave_out(title, f"it cannot be read ({type(error).__name__})")
        else:
            self.count += 1
            self.templates[template.name] = template

    def leave_out(self, title: str, reason: str) -> None:
        """Note an entry that is left out."""
        self.count += 1
        if len(self.skipped) < MOST_REASONS:
            self.skipped.append((printable(title[:200]), printable(reason[:500])))

    def _check(self, template: Template) -> None:
        if template.name in self.templates:
            raise UnsupportedTemplate(f"there is another template {template.name} in this source")
        if len(template.model_dump_json()) > LONGEST_TEMPLATE:
            raise UnsupportedTemplate(f"it is longer than {LONGEST_TEMPLATE} characters")
        shown = [template.display_name, template.description, template.version, template.icon, template.web_port or ""]
        labels = [text for field in template.config for text in (field.label, *field.choices)]
        if any(printable(text) != text for text in (" ".join(text.split("\n")) for text in (*shown, *labels))):
            raise UnsupportedTemplate("a text of it holds a character that is not shown")


def complaint(error: ValidationError, given: Mapping[str, Any]) -> str:
    """Return the first error of a template with its place: a service, setting or port by name."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place: list[str] = []
    here: Any = given
    for part in first["loc"]:
        inner: Any = None
        with suppress(KeyError, IndexError, TypeError):
            inner = here[part]
        name = inner.get("name") if isinstance(inner, Mapping) and isinstance(part, int) else None
        place.append(str(name)[:60] if isinstance(name, str) else str(part))
        here = inner
    return f"{'.'.join(place)}: {first['msg']}" if place else str(first["msg"])


def slug(text: object, otherwise: str = "app") -> str:
    """Return a valid template name made from a text, e.g. `nginx-proxy` from `Nginx Proxy!`."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", str(text)[:1000].lower()).strip("-")
    return cleaned[:30].rstrip("-") or otherwise


def text_of(value: object, what: str) -> str:
    """Return a scalar as text, the whole of it. Raises Unfit."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = str(value)
        if len(text) > LONGEST_TEMPLATE:
            raise UnsupportedTemplate(f"{what} is longer than {LONGEST_TEMPLATE} characters")
        return text
    raise UnsupportedTemplate(f"{what} is no text")


def items(value: object, what: str) -> list[Any]:
    """Return a list, empty for null. Raises UnsupportedTemplate."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnsupportedTemplate(f"{what} is no list")
    return value


def port(given: object) -> dict[str, Any]:
    """Return a port written as `8080:80/tcp` or `80`. Raises Unfit."""
    match = _PORT.fullmatch(text_of(given, "a port").strip())
    if match is None:
        raise UnsupportedTemplate(f"the port {str(given)[:60]!r} cannot be represented")
    container, protocol = int(match["container"]), match["protocol"] or "tcp"
    return {
        "name": f"{protocol}-{container}",
        "container": container,
        "protocol": protocol,
        "host": int(match["host"]) if match["host"] else None,
    }


def volume(path: str, source: str | None, read_only: bool, service: str) -> dict[str, Any]:
    """Return a volume: a host path if `source` is absolute, else a named volume.

    The same source is the same volume in all services of an app; one without a source is its service's own.
    """
    if source is not None and source.startswith("/"):
        return {"path": path, "host_path": source, "read_only": read_only}
    return {"path": path, "name": distinct(source or f"{service}{path}"), "read_only": read_only}


def distinct(text: str) -> str:
    """Return a unique valid name for a text."""
    name = slug(text, "data")
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def is_secret(name: str) -> bool:
    """Return whether a variable holds a secret, by its name."""
    return _SECRET.search(name.upper()) is not None


def title_of(entry: Mapping[str, Any], *names: str) -> str:
    """Return an entry's title: the first of these members that is a text or number, else an empty text."""
    given = next((entry[name] for name in names if entry.get(name)), "")
    return shown_text(given, "title", 200) if isinstance(given, str | int | float) else ""


def shown_text(value: object, what: str, longest: int = 4000) -> str:
    """Return a scalar as a text that people read: in one line, and nothing in it moves or hides another."""
    return printable(" ".join(text_of(value[:longest] if isinstance(value, str) else value, what).split()))[:longest]


def icon_of(value: object) -> str:
    """Return an icon's URL or file name; an empty text for anything else."""
    text = text_of(value, "icon")
    return text if len(text) <= 2000 and re.fullmatch(r"https?://[^\s<>\"']+|[\w.-]+", text) else ""


def tagged(image: str) -> str:
    """Return an image reference with a tag, `latest` if it has none."""
    return image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def version_of(image: str) -> str:
    """Return the tag of an image reference."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    return tag or "latest"


def web_port(ports: Iterable[Mapping[str, Any]]) -> str | None:
    """Guess which port serves HTTP: the first one over TCP."""
    return next((str(entry["name"]) for entry in ports if entry["protocol"] == "tcp"), None)
