"""The templates that there are: the package's own, and those of added sources."""

from __future__ import annotations

import asyncio
import difflib
import importlib.resources
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cloudos_sdk import InvalidRequest, NotFound
from pydantic import ValidationError

from cloudos_apps.templates.formats.common import LONGEST_TEMPLATE, UnsupportedTemplate
from cloudos_apps.templates.formats.document import from_yaml, plain
from cloudos_apps.templates.model.template import Template

_MOST_FILES, _MOST_ALIKE = 1_000, 200
_SHOWN = ("name", "display_name", "description", "category", "version", "icon")


class BrokenTemplate(ValueError):
    """A template file does not fit; the message names the file and the place."""


OWN, FOLDER = "node", "folder"
"""Where templates come from that no source gave."""


@dataclass(frozen=True)
class Added:
    """The templates of an added source, which has a name."""

    name: str
    templates: Mapping[str, Template]


@dataclass(frozen=True)
class TemplateList:
    """All templates at one time: by name, sorted names, and list entries.

    `origins` says where each is from: a source by name and id, since another one may have the name later.
    """

    templates: Mapping[str, Template]
    origins: Mapping[str, str]
    names: Sequence[str]
    shown: Sequence[bytes]
    categories: bytes

    def page(self, limit: int, before: str | None, after: str | None) -> bytes:
        """Return up to `limit` templates as JSON: the first, or those next to a name. Raises InvalidRequest."""
        for edge, name in (("before", before), ("after", after)):
            if name is not None and name not in self.templates:
                raise InvalidRequest.field(edge, f"there is no template {name!r}")
        start = bisect_right(self.names, after) if after is not None else 0
        end = bisect_left(self.names, before) if before is not None else len(self.names)
        if before is not None and after is None:
            start = max(0, end - limit)
        return b"[" + b",".join(self.shown[start : min(end, start + limit)]) + b"]"


class TemplateCatalog:
    """Finds templates by name: the package's own, and those that an admin puts into `folder`, as YAML files.

    The package's are read once, in a thread, when they are first asked for; the folder each time that it has changed.
    A file there that does not fit is named in the log and left out, and none replaces one of the package's. Lists are
    made once for each change, in a thread.
    """

    def __init__(self, folder: Path | None = None, log: Any = None) -> None:
        self._folder = folder
        self._log = log
        self._placed: Mapping[str, Template] = {}
        self._stamp: tuple[tuple[str, int], ...] = ()
        self._own: Mapping[str, Template] | None = None
        self._reading = asyncio.Lock()
        self._added: dict[str, Added] = {}
        self._listing: TemplateList | None = None

    async def all(self) -> list[Template]:
        """Return every template, by name."""
        listing = await self.listing()
        return [listing.templates[name] for name in listing.names]

    async def get(self, name: str) -> Template:
        """Return a template. Raises NotFound, which names the nearest one."""
        return (await self.find(name))[0]

    async def find(self, name: str) -> tuple[Template, str]:
        """Return a template and its origin. Raises NotFound, which names the nearest one."""
        listing = await self.listing()
        if name in listing.templates:
            return listing.templates[name], listing.origins[name]
        near = difflib.get_close_matches(name[:200], alike(name, listing.names), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else " `GET /api/templates` lists them."
        raise NotFound("template", name[:200], message=f"There is no template {name[:200]!r}.{hint}")

    async def source_of(self, name: str) -> str | None:
        """Return the source's name of a template; None for our own."""
        if self._own is not None and name in self._own:
            return None
        return next((added.name for added in self._added.values() if name in added.templates), FOLDER)

    def put_source(self, source_id: str, templates: Mapping[str, Template], name: str | None = None) -> None:
        """Take the templates of a source, in place of those it had."""
        self._added = {**self._added, source_id: Added(name or source_id, templates)}
        self._listing = None

    def drop_source(self, source_id: str) -> None:
        """Forget the templates of a source."""
        self._added = {id: added for id, added in self._added.items() if id != source_id}
        self._listing = None

    async def listing(self) -> TemplateList:
        """Return all templates as they are now."""
        if self._own is None:
            async with self._reading:
                if self._own is None:
                    self._own = await asyncio.to_thread(own_templates)
        if self._folder is not None:
            await asyncio.to_thread(self._look, self._folder)
        if self._listing is not None:
            return self._listing
        async with self._reading:
            while self._listing is None:
                added, placed = self._added, self._placed
                made = await asyncio.to_thread(_listing, placed, added, self._own)
                if added is self._added and placed is self._placed:
                    self._listing = made
            return self._listing

    def _look(self, folder: Path) -> None:
        """Read the admin's template files again if one changed; at most `_MOST_FILES`."""
        files = sorted(folder.glob("*.yaml"))[:_MOST_FILES]
        stamp = tuple((path.name, _changed(path)) for path in files)
        if stamp == self._stamp:
            return
        placed = {}
        for path in files:
            try:
                template = parse(_text_of(path), path.name)
            except (BrokenTemplate, OSError, UnicodeDecodeError) as error:
                if self._log is not None:
                    self._log.warning("a template file is left out", reason=str(error))
                continue
            placed[template.name] = template
        self._placed, self._stamp, self._listing = placed, stamp, None


def alike(name: str, names: Sequence[str]) -> list[str]:
    """Return those names that could be meant by another one: of its length and first letter, so many at most."""
    return [n for n in names if n[:1] == name[:1] and abs(len(n) - len(name)) < 4][:_MOST_ALIKE]


def _listing(placed: Mapping[str, Template], added: Mapping[str, Added], own: Mapping[str, Template]) -> TemplateList:
    merged, origins = dict(placed), dict.fromkeys(placed, FOLDER)
    for source_id, source in added.items():
        merged |= source.templates
        origins |= dict.fromkeys(source.templates, f"{source.name}:{source_id}")
    merged |= own
    origins |= dict.fromkeys(own, OWN)
    names = sorted(merged)
    counts = Counter(merged[name].category for name in names)
    categories = orjson.dumps([{"name": name, "count": counts[name]} for name in sorted(counts)])
    return TemplateList(merged, origins, names, [orjson.dumps(shown(merged[name])) for name in names], categories)


def shown(template: Template) -> dict[str, Any]:
    """Return a template's list entry."""
    return {name: getattr(template, name) for name in _SHOWN}


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # it went meanwhile, or is a link to nowhere


def _text_of(path: Path) -> str:
    if path.stat().st_size > LONGEST_TEMPLATE:
        raise BrokenTemplate(f"{path.name}: it is longer than {LONGEST_TEMPLATE} bytes")
    return path.read_text(encoding="utf-8")


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
        document = plain(next(from_yaml(text), None))
        return Template.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BrokenTemplate(f"{where}: {place}: {first['msg']}") from None
    except UnsupportedTemplate as error:
        raise BrokenTemplate(f"{where}: {error}") from None
    except Exception as error:
        raise BrokenTemplate(f"{where}: it cannot be read ({type(error).__name__})") from error
