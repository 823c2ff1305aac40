"""Variables of a compose file as settings: https://docs.docker.com/reference/compose-file/interpolation."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from cloudos_apps.templates.formats.common import UnsupportedTemplate, is_secret, text_of
from cloudos_apps.templates.model.substitution import Parts, Variable, joined

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:?[-?+])?")
_MARK = re.compile(r"\$|\}")
_DEEPEST = 10
_LONGEST_LABEL = 200
_OF_CASAOS = {"PUID": "1000", "PGID": "1000", "TZ": "UTC", "AppID": "app"}
_OPERATORS = {":-": ":-", "-": "?-", ":+": ":+", "+": "?+"}


def parse(text: str, what: str) -> Parts:
    """Return a text as literal texts and variables. Raises Unfit for a variable that cannot be read."""
    parts, _ = _parse(text, 0, 0, what)
    return parts


def _parse(text: str, at: int, depth: int, what: str) -> tuple[Parts, int]:
    if depth > _DEEPEST:
        raise UnsupportedTemplate(f"{what} has variables nested more than {_DEEPEST} levels deep")
    parts: list[str | Variable] = []
    literal = ""
    while match := _MARK.search(text, at):
        literal += text[at : match.start()]
        at = match.end()
        if match[0] == "}":
            if depth:
                return (*parts, literal), match.start()
            literal += "}"
        elif text.startswith("$", at):
            literal, at = literal + "$", at + 1
        elif text.startswith("{", at):
            variable, at = _braced(text, at + 1, depth, what)
            parts += [literal, variable]
            literal = ""
        elif name := _NAME.match(text, at):
            parts += [literal, Variable(name[0])]
            literal, at = "", name.end()
        else:
            literal += "$"
    return (*parts, literal + text[at:]), len(text)


def _braced(text: str, at: int, depth: int, what: str) -> tuple[Variable, int]:
    match = _BRACED.match(text, at)
    inner: Parts = ()
    end = at
    if match is not None:
        end = match.end()
        if match[2]:
            inner, end = _parse(text, end, depth + 1, what)
    if match is None or text[end : end + 1] != "}":
        shown = text[at - 2 : at + 40]
        raise UnsupportedTemplate(
            f"{what} has the variable {shown!r}, which cannot be read; write `$$` for a dollar sign"
        )
    return Variable(match[1], match[2] or "", tuple(part for part in inner if part)), end + 1


def fixed(given: object, what: str) -> str:
    """Return a text with each variable replaced by CasaOS' value or its default. Raises UnsupportedTemplate."""
    return _fixed(parse(text_of(given, what), what), what)


def _fixed(parts: Parts, what: str) -> str:
    return "".join(part if isinstance(part, str) else _constant(part, what) for part in parts)


def _constant(variable: Variable, what: str) -> str:
    name, operator = variable.name, variable.operator
    if operator.endswith("+"):
        return _fixed(variable.text, what) if name in _OF_CASAOS else ""
    if name in _OF_CASAOS:
        return _OF_CASAOS[name]
    if operator.endswith("-"):
        return _fixed(variable.text, what)
    raise UnsupportedTemplate(
        f"{what} needs the variable {name[:60]}, which has no default; write its value into the file"
    )


class TemplateSettings:
    """The settings that the variables of one compose file become."""

    def __init__(self) -> None:
        self.fields: dict[str, dict[str, Any]] = {}
        self._uses: defaultdict[str, set[tuple[str, str | None]]] = defaultdict(set)

    def scan(self, value: object) -> None:
        """Learn how the texts within a value use variables: a default is a setting's if all give the same."""
        if isinstance(value, Mapping):
            for inner in value.values():
                self.scan(inner)
        elif isinstance(value, list):
            for inner in value:
                self.scan(inner)
        elif isinstance(value, str) and "$" in value:
            try:
                self._note(parse(value, "a text"))
            except UnsupportedTemplate:
                return  # said again, with its place, by whoever needs the text

    def _note(self, parts: Parts) -> None:
        for part in parts:
            if isinstance(part, Variable):
                self._uses[part.name].add((part.operator.removeprefix(":"), _plain(part)))
                self._note(part.text)

    def filled(self, given: object, what: str) -> str:
        """Return a text in our syntax, with each variable one of CasaOS' or a setting. Raises UnsupportedTemplate."""
        return joined(self._ours(parse(text_of(given, what), what)))

    def passed(self, name: str) -> str:
        """Return the text of a variable that is passed through unchanged, unset by default."""
        if name in _OF_CASAOS:
            return joined(self._ours((Variable(name),)))
        self._uses[name].add(("-", None))
        self._field(name)
        return f"${{config.{name}}}"

    def _ours(self, parts: Parts) -> Parts:
        found: list[str | Variable] = []
        for part in parts:
            given = self._ours_of(part) if isinstance(part, Variable) else (part,)
            for each in given:
                if isinstance(each, str) and found and isinstance(found[-1], str):
                    found[-1] += each  # escaped as a whole: a dollar may come before a brace
                else:
                    found.append(each)
        return tuple(found)

    def _ours_of(self, variable: Variable) -> Parts:
        name, operator = variable.name, variable.operator
        if name in _OF_CASAOS:
            if operator.endswith("+"):
                return self._ours(variable.text)
            return (Variable("app.name") if name == "AppID" else _OF_CASAOS[name],)
        field = self._field(name)
        shared = operator.endswith("-") and field.get("default") not in (None, "")
        if operator.endswith("?") or not operator or shared:
            return (Variable(f"config.{name}"),)
        return (Variable(f"config.{name}", _OPERATORS[operator], self._ours(variable.text)),)

    def _field(self, name: str) -> dict[str, Any]:
        if name in self.fields:
            return self.fields[name]
        uses = self._uses[name]
        operators = {operator for operator, _ in uses}
        field: dict[str, Any] = {"name": name, "required": "?" in operators or operators <= {""}}
        defaults = {text for operator, text in uses if operator == "-"}
        if len(defaults) == 1 and "?" not in operators and (default := next(iter(defaults))):
            field["default"] = default
        if label := next((text for operator, text in sorted(uses, key=str) if operator == "?" and text), None):
            field["label"] = " ".join(label.split())[:_LONGEST_LABEL]
        if is_secret(name):
            field |= {"type": "password", "secret": True}
        self.fields[name] = field
        return field


def _plain(variable: Variable) -> str | None:
    """Return the text after a variable's operator; None if it contains variables."""
    if any(isinstance(part, Variable) for part in variable.text):
        return None
    return "".join(part for part in variable.text if isinstance(part, str))
