"""Search snippets: the matched words of a note, marked, computed in steps for long texts.

Databases make such excerpts too, in steps as the square of how often the words are found: one note that says a word
two hundred thousand times holds a reader for minutes. So a database says which notes, and the place is found here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cloudos_sdk.capabilities import Note, TextHit

from cloudos_notes.text.tokenizer import UNSPACED

MARK, CUT = "**", "…"
_WORDS = 28
_AROUND = 300
_TOGETHER = 150
_MOST_PLACES = 200
_LONGEST = 64
_MOST_WORDS = 16
_MOST_READ = 50_000
_READ_IN_ALL = 1_000_000
_LEAST_READ = 2_000

_WORD = re.compile(r"[^\W_]+")
_ENDING = re.compile(
    r"(?:ations?|ements?|ments?|ness(?:es)?|ingly|ings?|edly|ied|ies|ed|ers?|es|ly|s|e|y)$",
)
_MARKS = "[\u0300-\u036f]*"
_Span = tuple[int, int, str]


class _Plain(dict[int, str]):
    """The letters that characters are compared by: small and without accents, one for each, so that places stay."""

    def __missing__(self, code: int) -> str:
        small = unicodedata.normalize("NFD", chr(code))[0].lower()
        self[code] = found = small if len(small) == 1 else chr(code)
        return found


_PLAIN = _Plain()


def hits_of(found: Iterable[tuple[Note, float]], terms: Sequence[Sequence[str]]) -> list[TextHit]:
    """Return notes and scores as hits; of many notes less is read of each."""
    all_of_them = list(found)
    most = max(_LEAST_READ, min(_MOST_READ, _READ_IN_ALL // max(1, len(all_of_them))))
    places = WordMatches(terms)
    return [TextHit(note, score, places.excerpt(note.content, most)) for note, score in all_of_them]


class WordMatches:
    """Finds the words of a query in texts, approximately as the databases do."""

    def __init__(self, terms: Sequence[Sequence[str]]) -> None:
        said = [term for term in terms if any(character.isalnum() for word in term for character in word)]
        plain = [[_plain(word)[:_LONGEST] for word in term] for term in said]
        self._stems = {_stem(term[0]) for term in plain if len(term) == 1}
        self._longer = any(len(term) > 1 for term in plain)
        ways = sorted({_way(term) for term in plain if all(term)}, key=len, reverse=True)[:_MOST_WORDS]
        self._pattern = re.compile("|".join(ways)) if ways else None

    def excerpt(self, text: str, most: int = _MOST_READ) -> str:
        """Return a snippet around the query's words, marked; the beginning of a text without them."""
        read = text[:most]
        plain = _plain(read)
        spans = self._best(plain)
        first = spans[0] if spans else (0, 0, "")
        left, right = max(0, first[0] - _AROUND), first[0] + _AROUND
        words = [(left + word.start(), left + word.end()) for word in _WORD.finditer(text[left:right])]
        at = next((n for n, word in enumerate(words) if word[1] > first[0]), 0)
        last = spans[-1][0] if spans else 0
        used = sum(first[0] <= word[0] <= last for word in words)
        begin = max(0, at - max(0, _WORDS - used) // 2)
        shown = words[begin : begin + _WORDS]
        start = 0 if begin == 0 and left == 0 else shown[0][0] if shown else left
        whole = begin + _WORDS >= len(words) and right >= len(text)
        stop = len(text) if whole else max(shown[-1][1] if shown else right, min(first[1], right))
        parts, done = [CUT if start else ""], start
        for a, b, _ in self._found(plain, start, min(stop, len(plain))):
            parts += [text[done:a], MARK, text[a:b], MARK]
            done = b
        return "".join([*parts, text[done:stop], "" if stop == len(text) else CUT])

    def _best(self, plain: str) -> list[_Span]:
        """Return the window with most matched words; the first of equal ones."""
        spans = self._found(plain, 0, len(plain))
        best: list[_Span] = []
        most = 0
        for at, (start, _, _) in enumerate(spans):
            near = [span for span in spans[at : at + _WORDS] if span[1] <= start + _TOGETHER] or [spans[at]]
            different = len({name for _, _, name in near})
            if different > most:
                best, most = near, different
        return best

    def _found(self, plain: str, start: int, stop: int) -> list[_Span]:
        """Return the first positions of the words, or else of words with the same beginning."""
        if self._pattern is None:
            return []
        alike: list[_Span] = []
        found: list[_Span] = []
        for match in self._pattern.finditer(plain, start, stop):
            name = _stem(match[0])
            sure = name in self._stems or not match[0].isascii() or (self._longer and not match[0].isalnum())
            chosen = found if sure else alike
            if len(chosen) < _MOST_PLACES:
                chosen.append((match.start(), match.end(), name))
            if len(found) == _MOST_PLACES:
                break
        return found or alike


def _plain(text: str) -> str:
    """Return the folded text of the same length, in which words are compared."""
    return text.lower() if text.isascii() else text.translate(_PLAIN)


def _way(term: Sequence[str]) -> str:
    """Return the pattern of consecutive words with any ending; bounded, so that matching stays linear."""
    if len(term) == 1 and UNSPACED.search(term[0]):
        return _spelled(term[0])  # a word begins and ends anywhere
    words = [f"{_spelled(_stem(word))}(?:(?!_)[\\w\u0300-\u036f]){{0,{_LONGEST}}}" for word in term]
    return r"(?<![^\W_])" + r"[\W_]{1,20}".join(words)


def _spelled(word: str) -> str:
    """Return the pattern of a word, between whose letters a text may have accents of their own."""
    return _MARKS.join(re.escape(letter) for letter in word)


@lru_cache(4_096)
def _stem(word: str) -> str:
    """Return the approximate Porter stem of an English word; used for marks only."""
    if len(word) < 4 or len(word) > _LONGEST or not (word.isascii() and word.isalpha()):
        return word
    cut = _ENDING.sub("", word, count=1)
    if len(cut) < 3:
        return word
    return cut[:-1] if len(cut) > 3 and cut[-1] == cut[-2] else cut
