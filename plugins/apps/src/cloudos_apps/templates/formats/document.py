"""Untrusted JSON or YAML as plain data, bounded in depth and size; one broken document does not lose the others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import orjson
import yaml

from cloudos_apps.templates.formats.common import UnsupportedTemplate

MOST_YAML = 1_000_000
MOST_ALIASES = 20
DEEPEST = 40
MOST_PARTS = 400_000
_MOST_DOCUMENTS = 5_000
_DIGITS = 18
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_BREAK = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)


class _Loader(yaml.CSafeLoader):
    """Reads scalars by YAML 1.2's core schema, in which `no`, `22:22` and dates are texts, and `<<` as in 1.1.

    A number that would be written otherwise (`022`, `1.10`, `0x1F`) stays the text that it is.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


def _text(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


def _number(loader: _Loader, node: yaml.ScalarNode) -> Any:
    text = loader.construct_scalar(node)
    return int(text) if re.fullmatch(rf"-?[0-9]{{1,{_DIGITS}}}", text) else text


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", rf"0|-?[1-9][0-9]{{0,{_DIGITS - 1}}}", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]{0,8})\.(?:0|[0-9]{0,6}[1-9])", "-0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Loader.add_constructor("tag:yaml.org,2002:binary", _text)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)


def storable(text: str) -> None:
    """Raise UnsupportedTemplate if a text contains characters that databases cannot store."""
    if "\0" in text:
        raise UnsupportedTemplate("it holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnsupportedTemplate("it holds half a character (a surrogate)") from None


def from_json(text: str) -> Any:
    """Return the value of a JSON text. Raises UnsupportedTemplate.

    What the strict reader refuses for the sake of one number or character is read by the lenient one: its entry is
    left out then, and no other.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        why = str(error)
    try:
        return json.loads(_shallow(text), parse_int=_short)
    except (ValueError, RecursionError):
        raise UnsupportedTemplate(f"it is not JSON: {why[:300]}") from None


def _shallow(text: str) -> str:
    """Return a JSON text with a number that is none in the place of each part that is nested too deep."""
    parts: list[str] = []
    depth = taken = cut = 0
    for match in _TOKEN.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth == DEEPEST + 3:
                parts.append(text[taken : match.start()])
                cut = match.start()
        elif match[0] in "]}":
            depth -= 1
            if depth == DEEPEST + 2 and cut:
                parts.append("NaN")
                taken, cut = match.end(), 0
    return "".join(parts) + text[taken:] if parts else text


def _short(digits: str) -> int | str:
    return int(digits) if len(digits) <= _DIGITS else digits


def from_yaml(text: str) -> Iterator[Any]:
    """Yield the documents of a YAML text that are not empty; an Unfit in the place of one that cannot be read."""
    if len(text) > MOST_YAML:
        raise UnsupportedTemplate(f"YAML may have {MOST_YAML} characters at most")
    try:
        documents = list(_documents(text))
    except UnsupportedTemplate:
        parts = _BREAK.split(text, maxsplit=_MOST_DOCUMENTS)
        if len(parts) < 2:
            raise
        documents = [found for part in parts for found in _or_why(part)]
    yield from documents


def _or_why(part: str) -> list[Any]:
    try:
        return list(_documents(part))
    except UnsupportedTemplate as error:
        return [error]


def _documents(text: str) -> Iterator[Any]:
    try:
        _check_events(text)
        loader = _Loader(text)
        try:
            count = 0
            while loader.check_data():
                count += 1
                if count > _MOST_DOCUMENTS:
                    raise UnsupportedTemplate(f"it has more than {_MOST_DOCUMENTS} documents")
                if (document := loader.get_data()) is not None:
                    yield document
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise (
            error
            if isinstance(error, UnsupportedTemplate)
            else UnsupportedTemplate(f"it is not YAML: {str(error)[:300]}")
        ) from None


def _check_events(text: str) -> None:
    """Raise UnsupportedTemplate for documents that would expand or nest without bound."""
    aliases = depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > DEEPEST:
            raise UnsupportedTemplate(f"it is nested more than {DEEPEST} levels deep")
    if aliases > MOST_ALIASES:
        raise UnsupportedTemplate(f"it has {aliases} aliases; {MOST_ALIASES} are the most")


def plain(value: Any) -> Any:
    """Return a copy that is a tree of mappings with texts as keys, lists, texts, numbers and truth values.

    Raises Unfit for what is nested too deep or without end, is too large, or holds another kind of thing.
    """
    return _plain(value, 0, [0])


def _plain(value: Any, depth: int, count: list[int]) -> Any:
    count[0] += 1
    if count[0] > MOST_PARTS:
        raise UnsupportedTemplate(f"it has more than {MOST_PARTS} parts")
    if depth > DEEPEST:
        raise UnsupportedTemplate(f"it is nested more than {DEEPEST} levels deep")
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner, depth + 1, count) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1, count) for inner in value]
    if isinstance(value, str):
        storable(value)
        count[0] += len(value) // 100
        return value
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise UnsupportedTemplate("it holds a number that is none, or is nested too deep")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise UnsupportedTemplate(f"it holds a {type(value).__name__}, which is no plain value")


def _key(key: Any) -> str:
    if isinstance(key, str):
        storable(key)
        return key
    if isinstance(key, bool) or not isinstance(key, int | float):
        raise UnsupportedTemplate("a name in it is no text")
    return str(key)
