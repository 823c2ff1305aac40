"""Parses Markdown for inline `#tags` and `[[wikilinks]]`, with their positions.

Blocks are found by markdown-it, so that fences, indented code and HTML say nothing; within a paragraph code spans,
HTML tags and the destinations of links are blanked before tags and links are looked for. Tags follow Obsidian's
rules: letters, digits, `_`, `-` and `/`, not numbers alone, and behind a space or at the start of a line.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict, deque
from dataclasses import dataclass

from cloudos_notes.text.normalization import LONGEST_TAG, LONGEST_TITLE, folded
from cloudos_notes.text.prose import paragraphs

MOST_TAGS = 1_000
MOST_LINKS = 5_000
"""Those that a text has beyond are text: each is a row that is written with it."""

_TAG_START = re.compile(r"(?<!\S)#(?=[^\s#])")
_WIKILINK = re.compile(r"(?<!\\)\[\[([^\[\]\n]{1,1000})\]\]")
_TARGET_END = re.compile(r"\\?\||#|\^")
_TICKS = re.compile(r"`+")
_HTML = re.compile(r"<[A-Za-z/!?][^<>]{0,2000}>")
_DESTINATION = re.compile(r"\]\([^()\n]{0,2000}\)")


@dataclass(frozen=True, slots=True)
class WikiLink:
    """A link by title: `content[start:end]` is the title, without alias and heading."""

    title: str
    key: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Markup:
    """The inline tags, each once, and every link, in the order of the text."""

    tags: tuple[str, ...] = ()
    links: tuple[WikiLink, ...] = ()


_NOTHING = Markup()


def read(content: str) -> Markup:
    """Return the tags and links of a content."""
    if "[[" not in content and not _TAG_START.search(content):
        return _NOTHING
    tags: dict[str, str] = {}
    links: list[WikiLink] = []
    for start, text, in_heading in paragraphs(content):
        if "#" in text or "[[" in text:
            plain = _blanked(text)
            links += _links(plain, start)
            if not in_heading:
                for tag in _tags(plain):
                    if len(tags) < MOST_TAGS:
                        tags.setdefault(folded(tag), tag)
        if len(links) >= MOST_LINKS:
            break
    return Markup(tuple(tags.values()), tuple(links[:MOST_LINKS]))


def renamed(content: str, key: str, title: str) -> str:
    """Return a content in which the links to the title of `key` name `title`; aliases and headings stay."""
    parts, at = [], 0
    for link in read(content).links:
        if link.key == key:
            parts += [content[at : link.start], title]
            at = link.end
    return "".join([*parts, content[at:]])


def _blanked(text: str) -> str:
    """Return the text with everything but prose replaced by spaces."""
    spans = _code_spans(text)
    if spans:
        parts, at = [], 0
        for start, end in spans:
            parts += [text[at:start], "`" * (end - start)]
            at = end
        text = "".join([*parts, text[at:]])
    for pattern in (_HTML, _DESTINATION):
        text = pattern.sub(lambda found: "`" * len(found[0]), text)
    return text


def _code_spans(text: str) -> list[tuple[int, int]]:
    """Return the code spans: from a run of backticks to the next run of as many (CommonMark, 6.1)."""
    runs = [(found.start(), found.end()) for found in _TICKS.finditer(text)] if "`" in text else []
    by_length: defaultdict[int, deque[int]] = defaultdict(deque)
    for number, (start, end) in enumerate(runs):
        by_length[end - start].append(number)
    spans, number = [], 0
    while number < len(runs):
        start, end = runs[number]
        start += _escaped(text, start)
        same = by_length[end - start]
        while same and same[0] <= number:
            same.popleft()
        if same:
            number = same.popleft()
            spans.append((start, runs[number][1]))
        number += 1
    return spans


def _escaped(text: str, at: int) -> bool:
    """Return whether a character is escaped by an odd number of backslashes."""
    before = at
    while before and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1


def _tags(text: str) -> list[str]:
    found = []
    for match in _TAG_START.finditer(text):
        end = match.end()
        while end < len(text) and end - match.end() <= LONGEST_TAG and _in_tag(text[end]):
            end += 1
        tag = text[match.end() : end].strip("/")
        if tag and len(tag) <= LONGEST_TAG and not tag.isnumeric() and any(c.isalnum() for c in tag):
            found.append(tag)
    return found


def _in_tag(character: str) -> bool:
    return character.isalnum() or character in "_-/" or unicodedata.category(character)[0] == "M"


def _links(text: str, offset: int) -> list[WikiLink]:
    found = []
    for match in _WIKILINK.finditer(text):
        target = _TARGET_END.split(match[1], maxsplit=1)[0]
        title = target.strip()
        key = folded(title)
        if key and len(title) <= LONGEST_TITLE:
            start = offset + match.start(1) + len(target) - len(target.lstrip())
            found.append(WikiLink(title, key, start, start + len(title)))
    return found
