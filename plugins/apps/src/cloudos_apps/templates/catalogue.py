"""The templates that there are: the package's own, and those of added sources."""

from __future__ import annotations

import asyncio
import difflib
import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cloudos_sdk import NotFound
from pydantic import ValidationError

from cloudos_apps.templates.model import Template


class BrokenTemplate(ValueError):
    """A template file does not fit; the message names the file and the place."""


class Catalogue:
    """Finds templates by name: the package's own, and those that an admin puts into `folder`, as YAML files.

    The package's are read once, in a thread, when they are first asked for; the folder each time that it has changed.
    A file there that does not fit is named in the log and left out, and none replaces one of the package's.
    """

    def __init__(self, folder: Path | None = None, log: Any = None) -> None:
        self._folder = folder
        self._log = log
        self._placed: Mapping[str, Template] = {}
        self._stamp: tuple[tuple[str, int], ...] = ()
        self._own: Mapping[str, Template] | None = None
        self._reading = asyncio.Lock()
        self._added: dict[str, Mapping[str, Template]] = {}

    async def all(self) -> list[Template]:
        """Return every template, by name."""
        return sorted((await self._everything()).values(), key=lambda template: template.name)

    async def get(self, name: str) -> Template:
        """Return a template. Raises NotFound, which names the nearest one."""
        templates = await self._everything()
        if name in templates:
            return templates[name]
        near = difflib.get_close_matches(name[:200], templates, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else " `GET /api/templates` lists them."
        raise NotFound("template", name, message=f"There is no template {name[:200]!r}.{hint}")

    async def source_of(self, name: str) -> str | None:
        """Return where a template comes from: None for the package's own, else the source's name."""
        if self._own is not None and name in self._own:
            return None
        return next((source for source, added in self._added.items() if name in added), "folder")

    async def categories(self) -> list[dict[str, str | int]]:
        """Return the categories with how many templates each has."""
        counts: dict[str, int] = {}
        for template in await self.all():
            counts[template.category] = counts.get(template.category, 0) + 1
        return [{"name": name, "count": counts[name]} for name in sorted(counts)]

    def put_source(self, source_id: str, templates: Mapping[str, Template]) -> None:
        """Take the templates of a source, in place of those it had."""
        self._added[source_id] = templates

    def drop_source(self, source_id: str) -> None:
        """Forget the templates of a source."""
        self._added.pop(source_id, None)

    async def _everything(self) -> dict[str, Template]:
        if self._own is None:
            async with self._reading:
                if self._own is None:
                    self._own = await asyncio.to_thread(own_templates)
        if self._folder is not None:
            await asyncio.to_thread(self._look, self._folder)
        merged: dict[str, Template] = dict(self._placed)
        for added in self._added.values():
            merged |= added
        return merged | dict(self._own)

    def _look(self, folder: Path) -> None:
        """Read the admin's files again where one of them has changed."""
        files = sorted(folder.glob("*.yaml"))
        stamp = tuple((path.name, path.stat().st_mtime_ns) for path in files)
        if stamp == self._stamp:
            return
        placed = {}
        for path in files:
            try:
                template = parse(path.read_text(encoding="utf-8"), path.name)
            except (BrokenTemplate, OSError, UnicodeDecodeError) as error:
                if self._log is not None:
                    self._log.warning("a template file is left out", reason=str(error))
                continue
            placed[template.name] = template
        self._placed, self._stamp = placed, stamp


def own_templates() -> dict[str, Template]:
    """Read the package's own templates. Raises BrokenTemplate."""
    folder = importlib.resources.files("cloudos_apps.templates") / "apps"
    found = [
        parse(entry.read_text(encoding="utf-8"), entry.name)
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    ]
    return {template.name: template for template in found}


def parse(text: str, where: str) -> Template:
    """Read one template in our YAML. Raises BrokenTemplate."""
    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)
        return Template.model_validate(document)
    except yaml.YAMLError as error:
        raise BrokenTemplate(f"{where}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BrokenTemplate(f"{where}: {place}: {first['msg']}") from None
