"""The YAML front matter of a Markdown file: parsing a note's fields, and writing them back.

A file's front matter is kept as it was written. It is written anew only where the note has changed in what it says,
and then with all keys that are none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

import yaml
from cloudos_sdk import iso

from cloudos_notes.schemas import SOURCES
from cloudos_notes.text.normalization import LONGEST_TAG, LONGEST_TITLE, sorted_tags, tag_of

_LONGEST = 65_536
_MOST_LEVELS = 64
_MOST_ALIASES = 50
_MOST_KEYS = 2_000
_LONGEST_NUMBER = 1024
_BLOCK = re.compile(r"---[ \t]*\r?\n(?:(.*?)\n)?(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFiles:
    """The fields of a note in a front matter; None and defaults are absent ones."""

    title: str | None = None
    tags: tuple[str, ...] = ()
    importance: float = 0.5
    archived: bool = False
    source: str = "user"
    namespace: str = "default"
    client: str | None = None
    created: datetime | None = None


def split(text: str) -> tuple[str | None, str, KnownFiles]:
    """Return a file's front matter as written, its body, and the parsed fields.

    What is no front matter, since it is no YAML mapping, is part of the text.
    """
    found = _BLOCK.match(text[:_LONGEST])
    values = _mapping(found[1] or "") if found else None
    if found is None or values is None:
        return None, text, KnownFiles()
    return text[: found.end()], text[found.end() :], _known(values)


def joined(raw: str | None, known: KnownFiles, content: str) -> str:
    """Return the text of a file with its own front matter if that matches the note, else an updated one."""
    had = split(raw)[2] if raw else KnownFiles()
    if had == known:
        return f"{raw or ''}{content}"
    block = _BLOCK.match(raw or "")
    values = dict(_mapping(block[1] or "") or {}) if block else {}
    default = KnownFiles()
    for field in fields(KnownFiles):
        now = getattr(known, field.name)
        if now == getattr(had, field.name):
            continue
        for key in [key for key in values if str(key).lower() in _keys(field.name)]:
            del values[key]
        if now != getattr(default, field.name):
            values[field.name] = _plain(now)
    try:
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000) if values else ""
    except Exception:  # noqa: BLE001 - what can be read and not written stays as it was written
        return f"{raw or ''}{content}"
    return f"---\n{text}---\n{content}" if values else content


def _mapping(text: str) -> Mapping[Any, Any] | None:
    try:
        values = yaml.load(text, _Loader)  # noqa: S506 - a safe loader that takes less
    except Exception:  # noqa: BLE001 - PyYAML raises whatever a value made of it: KeyError, AttributeError, …
        return None
    return values if isinstance(values, dict) else {} if values is None and not text.strip() else None


class _Loader(yaml.SafeLoader):
    """Reads front matter; refuses YAML aliases that expand."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = self._aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
        self._depth += 1
        if self._depth > _MOST_LEVELS or self._aliases > _MOST_ALIASES:
            raise yaml.YAMLError("too deep, or too many aliases")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def flatten_mapping(self, node: Any) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:
            raise yaml.YAMLError("too many merged keys")

    def construct_yaml_int(self, node: Any) -> int:
        value: int = super().construct_yaml_int(node)
        if value.bit_length() > _LONGEST_NUMBER:  # Python writes no longer ones in decimal
            raise yaml.YAMLError("a number without end")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _keys(field: str) -> tuple[str, ...]:
    return {"tags": ("tags", "tag"), "created": ("created", "created_at")}.get(field, (field,))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return list(value) if isinstance(value, tuple) else value


def _known(values: Mapping[Any, Any]) -> KnownFiles:
    given = {str(key).lower(): value for key, value in values.items()}
    source = given.get("source")
    return KnownFiles(
        title=_name(given.get("title"), LONGEST_TITLE),
        tags=tuple(_tags(given.get("tags", given.get("tag")))),
        importance=_share(given.get("importance")),
        archived=given.get("archived") is True,
        source=source if isinstance(source, str) and source in SOURCES else "user",
        namespace=_name(given.get("namespace"), LONGEST_TAG) or "default",
        client=_name(given.get("client"), LONGEST_TAG),
        created=_moment(given.get("created", given.get("created_at"))),
    )


def _share(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0
    return float(value) if good else 0.5


def _name(value: Any, most: int) -> str | None:
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    name = " ".join(str(value).split())
    return name if 0 < len(name) <= most and "\0" not in name else None


def _tags(value: Any) -> list[str]:
    """Return tags that are given as a list, or in one text with commas or spaces between them."""
    given = re.split(r"[\s,]+", value) if isinstance(value, str) else value if isinstance(value, list) else []
    cleaned = (tag_of(str(tag)) for tag in given if isinstance(tag, str | int) and not isinstance(tag, bool))
    return sorted_tags(tag for tag in cleaned if tag and len(tag) <= LONGEST_TAG and "\0" not in tag)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
