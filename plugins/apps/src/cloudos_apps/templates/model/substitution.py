"""Variables in a template's texts: `${config.NAME}`, `${secret.NAME}`, `${app.name}`, `${port.NAME}`.

`${NAME:-text}` is the text where the variable is unset or empty, `${NAME?-text}` where it is unset; `${NAME:+text}` and
`${NAME?+text}` are the text where it is not. Such a text may hold variables. Before a brace, two `$` stand for one, so
that `$${` is a plain `${`; any other `$` is itself. A text that is one variable and nothing else has no value where
that has none, so that an optional setting leaves its environment variable unset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_MARK = re.compile(r"(?<!\$)(\$+)\{|\}")
_NAME = re.compile(r"([^}:?{]*)([:?][-+])?")
_DOLLARS = re.compile(r"(?<!\$)\$+(?=\{)")
_DOLLARS_AT_END = re.compile(r"(?<!\$)\$+(?=\{|\Z)")
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable in a text: its name, the operator behind it, and the text behind that."""

    name: str
    operator: str = ""
    text: tuple[str | Variable, ...] = ()


Parts = tuple["str | Variable", ...]


def parse(text: str) -> Parts:
    """Return a text as literal texts and variables."""
    return _parse(text, 0, 0)[0]


def _parse(text: str, at: int, depth: int) -> tuple[Parts, int]:
    """Parse to the end of the text or, in a variable, to its closing brace; return the position."""
    parts: list[str | Variable] = []
    while match := _MARK.search(text, at):
        if match[1] is None:
            if depth:
                return (*parts, text[at : match.start()]), match.start()
            parts.append(text[at : match.end()])
            at = match.end()
            continue
        many = len(match[1])
        parts.append(text[at : match.start()] + "$" * (many // 2))
        at = match.end()
        if many % 2 == 0:
            parts.append("{")
            continue
        variable, at = _variable(text, at, depth)
        parts.append(variable)
    return (*parts, text[at:]), len(text)


def _variable(text: str, at: int, depth: int) -> tuple[Variable, int]:
    match = _NAME.match(text, at)
    name, operator, at = (match[1], match[2] or "", match.end()) if match else ("", "", at)
    inner: Parts = ()
    if operator and depth < _DEEPEST:
        inner, at = _parse(text, at, depth + 1)
    if text[at : at + 1] != "}":
        return Variable(f"{name} (unclosed)"), len(text)
    return Variable(name, operator, tuple(part for part in inner if part)), at + 1


def joined(parts: Sequence[str | Variable]) -> str:
    """Return the text of which `parse` makes these parts."""
    found = []
    for at, part in enumerate(parts):
        if isinstance(part, Variable):
            found.append(f"${{{part.name}{part.operator}{joined(part.text)}}}")
        else:
            dollars = _DOLLARS_AT_END if at + 1 < len(parts) else _DOLLARS
            found.append(dollars.sub(lambda match: match[0] * 2, part))
    return "".join(found)


def references(text: str) -> list[str]:
    """Return the variables that a text refers to, e.g. `["config.title", "app.name"]`."""
    return list(_names(parse(text)))


def _names(parts: Parts) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Variable):
            yield part.name
            yield from _names(part.text)


def escape(text: str) -> str:
    """Return a text escaped so that it is substituted by itself."""
    return joined([text])


def secret_in(text: str) -> str | None:
    """Return the name of the secret that a text is, e.g. `password` of `${secret.password}`; None for other texts."""
    whole = _whole(parse(text))
    kind, _, name = whole.name.partition(".") if whole is not None else ("", "", "")
    return name if kind == "secret" else None


def substitute(text: str, values: Mapping[str, str | None]) -> str | None:
    """Return `text` with variables replaced; None if it is a single variable without a value."""
    parts = parse(text)
    whole = _whole(parts)
    return values[whole.name] if whole is not None else _filled(parts, values)


def _whole(parts: Parts) -> Variable | None:
    given = [part for part in parts if part]
    only = given[0] if len(given) == 1 else None
    return only if isinstance(only, Variable) and not only.operator else None


def _filled(parts: Parts, values: Mapping[str, str | None]) -> str:
    return "".join(part if isinstance(part, str) else _value(part, values) for part in parts)


def _value(variable: Variable, values: Mapping[str, str | None]) -> str:
    value, operator = values[variable.name], variable.operator
    given = value is not None if operator.startswith("?") else bool(value)
    if operator.endswith("+"):
        return _filled(variable.text, values) if given else ""
    return value or "" if given or not operator else _filled(variable.text, values)
