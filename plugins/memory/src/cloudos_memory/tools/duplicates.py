"""Duplicate detection between memories, by shared words."""

from __future__ import annotations

import re

from cloudos_sdk.capabilities import Note, NoteFilter, NoteStore

_WORD = re.compile(r"\w{2,}")
_ASKED = 8
_ALIKE = 0.8


def words(text: str) -> frozenset[str]:
    """Return the set of lower-case words of a text."""
    return frozenset(word.casefold() for word in _WORD.findall(text[:20_000]))


def similarity(left: frozenset[str], right: frozenset[str]) -> float:
    """Return the Jaccard similarity of two sets of words, 0 to 1."""
    return len(left & right) / len(left | right) if left or right else 0.0


async def resembled(store: NoteStore, owner: str, namespace: str, content: str) -> tuple[Note, float] | None:
    """Return the note of the namespace that is most like `content`, if any is nearly the same."""
    given = words(content)
    telling = sorted(given, key=lambda word: (-len(word), word))[:_ASKED]
    if not telling:
        return None
    hits = await store.search_text(" ".join(telling), NoteFilter(owner=owner, namespaces=(namespace,)), 5)
    likeness = [(similarity(given, words(hit.note.content)), hit.note) for hit in hits]
    best, note = max(likeness, key=lambda pair: pair[0], default=(0.0, None))
    return (note, best) if note is not None and best >= _ALIKE else None
