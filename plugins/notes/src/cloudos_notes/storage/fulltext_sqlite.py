"""Full text on SQLite: FTS5 with BM25, the filter inside the query.

BM25 counts and scores every note that has one of the words, so words that very many notes have are left to the
others to decide; where a query has no others the newest notes win. How many notes have a word is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from cloudos_sdk import Clock
from cloudos_sdk.capabilities import Note, NoteFilter, TextHit
from sqlalchemy import Update, insert, literal_column, select, text
from sqlmodel import Session

from cloudos_notes.storage.excerpts import hits_of
from cloudos_notes.storage.tables import COLUMNS, NOTE, Aliased, conditions, note_of
from cloudos_notes.text.tokenizer import hidden_words, may_begin, query_terms

_MOST_SCORED = 1_500
_REMEMBERED = 20_000
_MINUTES = 10

_COUNTS = text(
    "SELECT value, (SELECT count(*) FROM (SELECT 1 FROM notes_text WHERE notes_text MATCH value LIMIT :most))"
    " FROM json_each(:terms)"
)
# the index is walked first, in the order of its rank, and notes are looked up only until there are enough
_BOTH = text("notes_text AS t CROSS JOIN notes_note AS n")
_N = Aliased("n")
_FOUND: Any = select(
    *(getattr(_N, column.name) for column in COLUMNS),
    literal_column("t.rank"),
)


class SqliteFullText:
    """Full-text search by the FTS5 index."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._since = clock.monotonic()

    insertion = insert(NOTE).returning(NOTE.c.seq)

    @staticmethod
    def stored(title: str, content: str, words: str) -> dict[str, Any]:
        """Return the text of the column `search`: words that FTS5's tokenizer does not separate."""
        return {"search": f"{hidden_words(title)} {words}".strip()}

    @staticmethod
    def changing(statement: Update, values: dict[str, Any]) -> Update:
        """Return an update with these values."""
        return statement.values(**values)

    def search(self, session: Session, query: str, wanted: NoteFilter, limit: int) -> Sequence[TextHit]:
        """Return the best matches."""
        # what is not ASCII also as it stands: FTS5's idea of a letter is not Python's in every script
        asked = query_terms(query) + [[chunk] for chunk in query.split()[:16] if not chunk.isascii()]
        terms = [_quoted(term) for term in asked]
        counts = self._count(session, terms)
        rarest = sorted((counts[term], at, term) for at, term in enumerate(terms))
        hits: dict[str, tuple[Note, float]] = {}
        scored, total = [], 0
        for count, _, term in rarest:
            total += count
            if total > _MOST_SCORED:
                break
            scored += [term] if count else []
        if scored:
            self._find(session, " OR ".join(scored), "t.rank", wanted, limit, hits)
        elif total > _MOST_SCORED:
            words = [term for count, _, term in rarest if count]
            for match in (f"title : ({' AND '.join(words)})", " AND ".join(words), " OR ".join(words)):
                self._find(session, match, "t.rowid DESC", wanted, limit, hits)
        if len(hits) < limit:
            rare = {term for term in terms if counts[term] <= _MOST_SCORED}  # to look for others takes long
            beginnings = [f"{q}*" for q, term in zip(terms, asked, strict=True) if q in rare and may_begin(term)][:8]
            if beginnings:
                self._find(session, " OR ".join(beginnings), "t.rowid DESC", wanted, limit, hits)
        return hits_of(hits.values(), asked)

    def _find(
        self,
        session: Session,
        match: str,
        order: str,
        wanted: NoteFilter,
        limit: int,
        hits: dict[str, tuple[Note, float]],
    ) -> None:
        """Append matching notes to those found before; without scores, earlier ones rank higher."""
        left = limit - len(hits)
        if left <= 0:
            return
        ranked = order == "t.rank"
        statement = (
            _FOUND.select_from(_BOTH)
            .where(
                text("notes_text MATCH :q").bindparams(q=match),
                text("n.seq = t.rowid"),
                *conditions(wanted, _N),
            )
            .order_by(text(order))
            .limit(limit)
        )
        floor = min((score for _, score in hits.values()), default=1.0)
        for row in session.connection().execute(statement).all():
            if row[0] not in hits and len(hits) < limit:
                floor = -row[-1] if ranked else floor * 0.9
                hits[row[0]] = (note_of(row), floor)

    def _count(self, session: Session, terms: Sequence[str]) -> Mapping[str, int]:
        """Return how many notes have each term, of whomever; at most one more than are scored."""
        now = self._clock.monotonic()
        if now - self._since > _MINUTES * 60 or len(self._counts) > _REMEMBERED:
            self._counts, self._since = {}, now
        known = self._counts
        found = {term: known[term] for term in terms if term in known}
        if len(found) < len(terms):
            unknown = orjson.dumps([term for term in terms if term not in found]).decode()
            rows = session.connection().execute(_COUNTS, {"terms": unknown, "most": _MOST_SCORED + 1})
            new = {row[0]: row[1] for row in rows}
            known |= {term: n for term, n in new.items() if n}  # a word that nobody has yet is found once somebody has
            found |= new
        return found


def _quoted(words: Sequence[str]) -> str:
    """Return words as a quoted phrase of FTS5's query language."""
    return '"' + " ".join(words).replace('"', '""') + '"'
