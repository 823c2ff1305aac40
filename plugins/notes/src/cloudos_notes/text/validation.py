"""Validation of a note's new text, before the transaction that stores it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TypeVar
from weakref import WeakValueDictionary

from cloudos_sdk import InvalidRequest
from cloudos_sdk.identity import caller

from cloudos_notes.text import markdown
from cloudos_notes.text.normalization import LONGEST_TAG, LONGEST_TITLE, folded, folder_of, sorted_tags, tag_of
from cloudos_notes.text.tokenizer import hidden_words

T = TypeVar("T")

_AT_ONCE = 4_000
_MOST_TAGS = 100


_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
"""Who has a long text read: of each user one at a time, so that nobody has both threads."""


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="notes-read")


@dataclass(frozen=True, slots=True)
class NoteContent:
    """A content with its inline tags, keys of linked titles, and hidden words."""

    text: str
    tags: tuple[str, ...]
    links: Mapping[str, str]
    words: str


async def read(content: str, most: int) -> NoteContent:
    """Validate and parse a content, long ones in a thread. Raises InvalidRequest if it cannot be stored."""
    if len(content) > most or len(content.encode(errors="replace")) > most:
        raise InvalidRequest.field("content", f"a note is at most {most} bytes long")
    check(content, "content")
    return await beside(len(content), lambda: read_now(content))


async def beside(length: int, work: Callable[[], T]) -> T:
    """Run work on texts of a length, in a thread unless they are short."""
    if length <= _AT_ONCE:
        return work()
    principal = caller().principal
    turn = _turns.setdefault(principal.user_id if principal else "", asyncio.Lock())
    async with turn:
        return await asyncio.get_running_loop().run_in_executor(_threads(), work)


def read_now(content: str) -> NoteContent:
    """Read a content that was checked."""
    found = markdown.read(content)
    return NoteContent(content, found.tags, {link.key: link.title for link in found.links}, hidden_words(content))


def title(given: str) -> str:
    """Return a title as it is stored. Raises InvalidRequest."""
    check(given, "title")
    cleaned = " ".join(given.split())
    if len(cleaned) > LONGEST_TITLE:
        raise InvalidRequest.field("title", f"a title is at most {LONGEST_TITLE} characters long")
    if not cleaned or not folded(cleaned):
        raise InvalidRequest.field("title", "a title is not empty")
    return cleaned


def tags(given: tuple[str, ...] | list[str]) -> list[str]:
    """Return tags as they are stored, each once. Raises InvalidRequest."""
    found = []
    for each in given:
        check(each, "tags")
        tag = tag_of(each)
        if len(tag) > LONGEST_TAG:
            raise InvalidRequest.field("tags", f"a tag is at most {LONGEST_TAG} characters long")
        found += [tag] if tag else []
    if len(found) > _MOST_TAGS:
        raise InvalidRequest.field("tags", f"a note has at most {_MOST_TAGS} tags")
    return sorted_tags(found)


def folder(given: str) -> str:
    """Return a folder as it is stored. Raises InvalidRequest."""
    check(given, "folder")
    path = folder_of(given)
    if path is None:
        raise InvalidRequest.field("folder", "names between slashes, none of them `.` or `..`")
    return path


def importance(given: float) -> float:
    """Return an importance. Raises InvalidRequest unless it is from 0 to 1."""
    if not 0.0 <= given <= 1.0:
        raise InvalidRequest.field("importance", "a number from 0.0 to 1.0")
    return float(given)


def name(given: str, path: str) -> str:
    """Return the name of a namespace or client. Raises InvalidRequest."""
    check(given, path)
    if not given.strip() or len(given) > LONGEST_TAG:
        raise InvalidRequest.field(path, f"a name of 1 to {LONGEST_TAG} characters")
    return given


def check(text: str, path: str) -> None:
    """Raise InvalidRequest for NUL and lone surrogates, which databases cannot store."""
    if "\0" in text:
        raise InvalidRequest.field(path, "the text holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidRequest.field(path, "the text holds a lone surrogate, which is no character") from None
