"""The tokenizer of texts and queries: identifiers by their parts, Chinese and Japanese by bigrams."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

_MOST_TERMS = 48
_LONGEST = 64
_ENGLISH = """
a an the this that these those and or but if as of at by for with about into from to in on i me my we us our you your
he him his she her hers it its they them their what which who whom whose when where why how there here
am is are was were be been being have has had do does did can could will would shall should may might must
"""
_FILLERS = frozenset(_ENGLISH.split())
_PIECE = re.compile(r"[^\W_]+")
_LATIN = re.compile(r"[A-Za-z0-9]+")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")

_FOLDED_AT_ONCE = 500
_VOICED = "\u3099\u309a"  # of kana, where they make another letter
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "\u0640": ""})


def fold(text: str) -> str:
    """Return a text folded for comparison without case and accents, in every script: `ß` is `ss`.

    Piece by piece, since to order a long run of marks takes steps as its square.
    """
    if text.isascii():
        return text.lower()
    return "".join(_folded(text[at : at + _FOLDED_AT_ONCE]) for at in range(0, len(text), _FOLDED_AT_ONCE))


def _folded(piece: str) -> str:
    apart = unicodedata.normalize("NFD", piece.casefold())
    kept = (c for c in apart if c in _VOICED or not unicodedata.category(c).startswith("M"))
    return unicodedata.normalize("NFC", "".join(kept)).translate(_LETTERS)


def _symbols(text: str) -> Iterator[str]:
    """Yield a word for each emoji or other symbol, which no database indexes: `u1f3ee`."""
    return (f"u{ord(c):x}" for c in text if ord(c) > 127 and unicodedata.category(c) == "So")


def hidden_words(text: str) -> str:
    """Return the words of a text that no space or sign separates, each once.

    `getUserName` hides get, user and name, `node01` node and 01, and a run of Han or Kana each pair of its characters.
    Words with accents are told without them too, and symbols by their numbers.
    """
    found: dict[str, None] = {}
    if not text.islower() or any(c.isdigit() for c in text):
        for token in _LATIN.findall(text):
            if not (token.islower() and token.isalpha()) and len(token) <= _LONGEST:
                found.update(dict.fromkeys(_split(token)))
    if not text.isascii():
        for run in UNSPACED.findall(text):
            found.update(dict.fromkeys(_pairs(run)))
        plain = set(_PIECE.findall(text.lower()))
        folded = (word for word in _PIECE.findall(fold(text)) if word not in plain and len(word) <= _LONGEST)
        found.update(dict.fromkeys(word for word in folded if not UNSPACED.search(word)))
        found.update(dict.fromkeys(_symbols(text)))
    return " ".join(found)


def query_terms(query: str) -> list[list[str]]:
    """Return the terms of a query: unique lists of consecutive words; empty for signs alone.

    `foo_bar.baz` is looked for as a whole and by its words, `fooBar` as it is and by its parts; of a sentence the words
    that say something, of little words alone all.
    """
    found: dict[tuple[str, ...], None] = {}
    chunks = query.split()
    if not query.isascii():
        query = query[: _MOST_TERMS * _LONGEST]
        folded = [chunk for chunk in fold(query).split() if not UNSPACED.search(chunk)]
        chunks = list(dict.fromkeys([*chunks, *folded]))
        found.update(dict.fromkeys((word,) for word in list(_symbols(query))[:8]))
    for chunk in chunks:
        pieces = [piece[:_LONGEST] for piece in _PIECE.findall(chunk)][:8]
        if len(pieces) > 1:
            found[tuple(pieces)] = None
        for piece in pieces:
            runs = UNSPACED.findall(piece)
            words = [w for run in runs for w in _pairs(run)] or [piece, *_split(piece)]
            found.update(dict.fromkeys((word,) for word in words))
        if len(found) >= _MOST_TERMS:
            break
    terms = [list(term) for term in list(found)[:_MOST_TERMS]]
    return [term for term in terms if not _is_filler(term)] or terms


def may_begin(term: Sequence[str]) -> bool:
    """Return whether a term is long enough for prefix matches."""
    return len(term) == 1 and (len(term[0]) >= 3 or not term[0].isascii())


def _is_filler(term: Sequence[str]) -> bool:
    """Return whether a term is a stop word; `IT` and `US` are not."""
    return len(term) == 1 and term[0].lower() in _FILLERS and (len(term[0]) == 1 or not term[0].isupper())


def _split(token: str) -> list[str]:
    if not token.isascii():
        return []
    parts = _PARTS.findall(token)
    return [part.lower() for part in parts] if len(parts) > 1 else []


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]
