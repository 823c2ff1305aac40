"""The prose of a Markdown text: paragraphs and headings, without code and HTML.

markdown-it finds the blocks. Some nestings make it look at all lines that follow for each line (a quote around an open
fence, over and over), so its steps are counted: a text that takes more of them than any that a person writes
is read line by line instead, which sees fences, indented code, HTML and headings, but no containers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

Paragraph = tuple[int, str, bool]
"""Place and text of a run of lines that is prose, and whether it is a heading."""

_STEPS_OF_A_LINE = 40
_STEPS_AT_LEAST = 5_000
_STEPS_AT_MOST = 400_000
"""Two seconds of them; a note of a person has some thousands."""
_LINE = re.compile(r"[ \t>]*(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]+)?")
_FENCE = re.compile(r"`{3,}(?=[^`]*$)|~{3,}")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)")
_HTML = re.compile(r"<[A-Za-z/!?]")


class _TooManySteps(Exception):
    """The text is not one that a person wrote."""


def paragraphs(content: str) -> list[Paragraph]:
    """Return the prose of a content."""
    lines = content.replace("\r\n", " \n").replace("\r", "\n").split("\n")
    try:
        spans = _by_blocks(lines)
    except (_TooManySteps, RecursionError):
        spans = _by_lines(lines)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    found = []
    for first, last, heading in spans:
        start, end = offsets[first], min(offsets[last], len(content))
        found.append((start, content[start:end], heading))
    return found


def _by_blocks(lines: list[str]) -> list[tuple[int, int, bool]]:
    """Return first line, line behind the last one, and whether it is a heading. Raises _TooManySteps."""
    parser, tokens, found = _parser(), [], []  # type: ignore[var-annotated]
    steps = {"left": min(_STEPS_AT_MOST, _STEPS_AT_LEAST + _STEPS_OF_A_LINE * len(lines))}
    parser.block.parse("\n".join(lines).replace("\0", "\ufffd"), parser, steps, tokens)
    heading = False
    for token in tokens:
        if token.type == "inline" and token.map is not None:
            found.append((*token.map, heading))
        heading = token.type == "heading_open"
    return found


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # 20 ms, which a start does not have

    parser = MarkdownIt("commonmark")
    ruler = parser.block.ruler
    for rule in list(ruler.__rules__):
        ruler.at(rule.name, _counted(rule.fn), {"alt": rule.alt})
    return parser


def _counted(rule: Callable[..., bool]) -> Callable[..., bool]:
    """Return a rule that counts that it is asked, and the lines that it takes."""

    def asked(state: Any, first: int, last: int, silent: bool) -> bool:
        taken = rule(state, first, last, silent)
        state.env["left"] -= 1 + (state.line - first if taken and not silent else 0)
        if state.env["left"] < 0:
            raise _TooManySteps
        return taken

    return asked


def _by_lines(lines: list[str]) -> list[tuple[int, int, bool]]:
    found: list[tuple[int, int, bool]] = []
    fence, html, blank = "", False, True
    begun: int | None = None
    for number, line in enumerate([*lines, ""]):
        text = line[_LINE.match(line).end() :].rstrip()  # type: ignore[union-attr] # it matches the empty text
        opening = _FENCE.match(text)
        heading = not fence and not html and _HEADING.match(text) is not None
        if fence:
            if opening is not None and opening[0][0] == fence[0] and len(text) == len(opening[0]) >= len(fence):
                fence = ""
            prose = False
        elif opening is not None:
            fence, prose = opening[0], False
        else:
            html = bool(text) and (html or (begun is None and _HTML.match(text) is not None))
            prose = bool(text) and not html and not (blank and line.startswith(("    ", "\t")))
        if begun is not None and (not prose or heading):
            found.append((begun, number, False))
            begun = None
        if heading:
            found.append((number, number + 1, True))
        elif prose and begun is None:
            begun = number
        blank = not text
    return found
