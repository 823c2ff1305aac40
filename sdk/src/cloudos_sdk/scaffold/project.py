"""What follows from a plugin's id, and the files that are written from it."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import cloudos_sdk

_ID = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST = 24
_FORBIDDEN_IN_TITLES = set('"\\')

RESERVED = frozenset({"docs", "events", "health", "host", "license", "operations", "plugins", "ready"})
"""Ids whose URL or tables are the host's own."""


class ScaffoldError(Exception):
    """The plugin cannot be written; the message says why."""


@dataclass(frozen=True)
class Project:
    """A plugin to be written: its id, and its name for people."""

    id: str
    title: str

    @classmethod
    def named(cls, id: str, title: str | None = None) -> Project:
        """Return the project of an id. Raises ScaffoldError where the id or the title will not do."""
        if not _ID.fullmatch(id) or len(id) > _LONGEST:
            raise ScaffoldError(
                f"{id!r} is no plugin id; take lower-case letters and digits, a letter first, with single dashes"
                f" between words, {_LONGEST} characters at most"
            )
        if id in RESERVED:
            raise ScaffoldError(f"{id!r} is the host's own; take another id")
        for point in entry_points(group="cloudos.plugins"):
            if _underscored(point.name) == _underscored(id):
                owner = point.dist.name if point.dist is not None else point.value
                raise ScaffoldError(f"{owner} is installed here and has the id {point.name!r}; take another")
        title = re.sub("[-_]", " ", id).capitalize() if title is None else title.strip()
        if not title.isprintable() or not 0 < len(title) <= 60 or set(title) & _FORBIDDEN_IN_TITLES:
            raise ScaffoldError("a title is one line of 1 to 60 characters, without double quotes and backslashes")
        return cls(id, title)

    @property
    def distribution(self) -> str:
        """The name that it is installed by."""
        return f"cloudos-plugin-{self.id.replace('_', '-')}"

    @property
    def package(self) -> str:
        """The name that it is imported by."""
        return f"cloudos_plugin_{_underscored(self.id)}"

    def names(self) -> dict[str, str]:
        """Return what the templates may name."""
        prefix = _underscored(self.id)
        return {
            "id": self.id,
            "title": self.title,
            "distribution": self.distribution,
            "package": self.package,
            "prefix": prefix,
            "env": prefix.upper(),
            "sdk": _sdk_range(cloudos_sdk.__version__),
        }


def write(project: Project, folder: Path) -> list[Path]:
    """Write the plugin's files; return their paths. Raises ScaffoldError where the folder is not new or empty."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ScaffoldError(f"{folder} exists and is not an empty folder; nothing was written")
        names = project.names()
        written = []
        for parts, template in _templates():
            path = folder.joinpath(*(project.package if part == "package" else part for part in parts))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template(template).substitute(names), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ScaffoldError(f"{error.filename or folder}: {error.strerror}") from error
    return written


def _templates() -> Iterator[tuple[tuple[str, ...], str]]:
    root = importlib.resources.files("cloudos_sdk.scaffold") / "templates"
    yield from _below(root, ())


def _below(folder: Traversable, parts: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            yield from _below(entry, (*parts, entry.name))
        elif entry.name.endswith(".template"):
            yield (*parts, entry.name.removesuffix(".template")), entry.read_text(encoding="utf-8")


def _underscored(id: str) -> str:
    return id.replace("-", "_")


def _sdk_range(version: str) -> str:
    """Return the versions that keep what `version` promises: of 0.x the same x, later the same major."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">=0.{minor},<0.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
