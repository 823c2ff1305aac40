"""Chunks of a note for embedding, each with the title."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import chain, islice

_LONGEST = 350  # letters; measured: longer pieces blur (docs/decisions/0009-memory-vectors-in-process.md)
_MOST = 32
_TITLE = 200
_BREAK = re.compile(r"(?<=[.!?。!?])\s+|\n+")


def pieces_of(title: str, content: str) -> list[str]:
    """Return the chunks of a note: 1 to 32."""
    head = title[:_TITLE].strip()
    body = content.strip()
    if body.startswith(head):  # the first line is the title where none was given
        body = body[len(head) :].strip()
    return [f"{head}\n{piece}".strip() for piece in islice(_split(body), _MOST)] or [head or "-"]


def text_hash(title: str, content: str) -> str:
    """Return a hash of a note's text."""
    return hashlib.sha256(f"{title}\0{content}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _split(body: str) -> Iterator[str]:
    piece, weight = "", 0
    for sentence in _sentences(body):
        more = _weight(sentence)
        if piece and weight + more > _LONGEST:
            yield piece
            piece, weight = "", 0
        piece, weight = f"{piece} {sentence}".strip(), weight + more
    if piece:
        yield piece


def _sentences(body: str) -> Iterator[str]:
    end = 0
    for gap in chain(_BREAK.finditer(body), (None,)):  # one by one: of a long text the beginning is enough
        sentence = body[end : gap.start() if gap is not None else None]
        end = gap.end() if gap is not None else end
        if not sentence.strip():
            continue
        step = _LONGEST if sentence.isascii() else _LONGEST // 4
        for at in range(0, len(sentence), step):
            yield sentence[at : at + step].strip()


def _weight(text: str) -> int:
    """Return the length of a text in Latin letters: of other scripts most characters are tokens of their own."""
    return len(text) if text.isascii() else sum(1 if c < "\u0250" else 3 for c in text)
