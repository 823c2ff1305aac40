"""How titles, tags and folders are named and compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_TITLE = 300
LONGEST_TAG = 100
LONGEST_FOLDER = 500
_LONGEST_COMPARED = 1_000

_HEADING = re.compile(r"#{1,6}\s+")
_BETWEEN_WORDS = re.compile(r"[\s,]+")
_UNLINKABLE = re.compile(r"[\[\]|#^\n]")
_OUTSIDE_KEBAB = re.compile(r"[^a-z0-9]+")


def folded(text: str) -> str:
    """Return a text as it is compared: one form of each character, no case, single spaces.

    Of a text that is longer than any name only the beginning counts: to bring thousands of combining marks into their
    order takes as many steps as their square.
    """
    return " ".join(unicodedata.normalize("NFC", text[:_LONGEST_COMPARED]).casefold().split())


def first_line(content: str) -> str:
    """Return the title of a note that was given none: its first line that is not empty."""
    for line in content.lstrip().split("\n", 1)[:1]:
        title = _HEADING.sub("", line.strip(), count=1)[:LONGEST_TITLE].strip()
        if title:
            return title
    return "Untitled"


def linkable(title: str) -> bool:
    """Return whether `[[title]]` can name the note."""
    return not _UNLINKABLE.search(title)


def tag_of(given: str) -> str:
    """Return a normalized tag: without `#`, with hyphens for spaces; "" if nothing is left."""
    return _BETWEEN_WORDS.sub("-", given.strip().lstrip("#").strip(" ,")).strip("/")


def kebab(name: str) -> str:
    """Return the tag of a client: `Claude Desktop` and `claude_desktop` are `claude-desktop`."""
    return _OUTSIDE_KEBAB.sub("-", name.lower()).strip("-")


def sorted_tags(tags: Iterable[str]) -> list[str]:
    """Return each tag once, whatever its case, sorted."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(folded(tag), tag)
    return sorted(found.values())


def folder_of(given: str) -> str | None:
    """Return a normalized folder without outer slashes; None if it leads outside."""
    parts = [part.strip() for part in given.replace("\\", "/").split("/")]
    parts = [part for part in parts if part]
    path = "/".join(parts)
    if any(part in (".", "..") for part in parts) or len(path) > LONGEST_FOLDER or any(ord(c) < 32 for c in path):
        return None
    return path


def stem(path: str) -> str:
    """Return the name of a file without its ending."""
    return path.rpartition("/")[2].rsplit(".", 1)[0]


def file_key(path: str | None) -> str | None:
    """Return a file's name as links name it."""
    return None if path is None else folded(stem(path))


def file_title(path: str, content: str) -> str:
    """Return the title of a note whose front matter gives it none: its file's name."""
    return " ".join(stem(path).split())[:LONGEST_TITLE].strip() or first_line(content)


def moved(path: str, folder: str) -> str:
    """Return the path of a file in another folder."""
    name = path.rpartition("/")[2]
    return f"{folder}/{name}" if folder else name
