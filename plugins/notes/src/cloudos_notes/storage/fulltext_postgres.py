"""Full text on PostgreSQL: a tsvector with a GIN index, of stems and exact words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from cloudos_sdk.capabilities import Note, NoteFilter, TextHit
from sqlalchemy import Text, Update, bindparam, func, insert, literal, literal_column, select
from sqlmodel import Session

from cloudos_notes.storage.excerpts import hits_of
from cloudos_notes.storage.tables import COLUMNS, NOTE, conditions, note_of
from cloudos_notes.text.tokenizer import hidden_words, may_begin, query_terms

_MOST_INDEXED = 200_000
"""A tsvector holds at most 1 MB."""
_SIGNS = re.compile(r"[\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_PIECE = 500


def _config(name: str) -> Any:
    return literal_column(f"'{name}'::regconfig")


def _plain(text: str) -> str:
    """Return a text without accents and signs."""
    return _SIGNS.sub(" ", _without_accents(text))


def _without_accents(text: str) -> str:
    """Return a text without accents; piece by piece, since to order a long run of them takes steps as its square."""
    pieces = (unicodedata.normalize("NFD", text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
    return _ACCENTS.sub("", "".join(pieces))


def _vector(texts: Mapping[str, str] | None = None) -> Any:
    """Return the expression of the column `search`, of texts or of parameters: `above`, `body` and `hidden`."""

    def of(name: str) -> Any:
        return bindparam(name, type_=Text) if texts is None else literal(texts[name], Text)

    joined: Any = func.to_tsvector(_config("simple"), of("hidden"))
    for name, weight in (("above", "A"), ("body", "C")):
        for config in ("english", "simple"):
            vector = func.to_tsvector(_config(config), of(name))
            joined = joined.op("||")(func.setweight(vector, literal_column(f"'{weight}'::\"char\"")))
    return joined


class PostgresFullText:
    """Full-text search by the column `search`."""

    insertion = insert(NOTE).values(search=_vector()).returning(NOTE.c.seq)

    @staticmethod
    def stored(title: str, content: str, words: str) -> dict[str, Any]:
        """Return the texts that the column `search` is made of, without signs, which its parser has ideas about."""
        return {
            "above": _plain(title),
            "body": _plain(content[:_MOST_INDEXED]),
            "hidden": f"{hidden_words(title)} {words}"[:_MOST_INDEXED],
        }

    @staticmethod
    def changing(statement: Update, values: dict[str, Any]) -> Update:
        """Return an update with these values."""
        texts: dict[str, str] = {name: values[name] for name in ("above", "body", "hidden") if name in values}
        plain = {name: value for name, value in values.items() if name not in texts}
        return statement.values(**plain, **({"search": _vector(texts)} if texts else {}))

    def search(self, session: Session, query: str, wanted: NoteFilter, limit: int) -> Sequence[TextHit]:
        """Return the best matches."""
        terms = query_terms(_without_accents(query))
        if not terms:
            return []
        exact = [" <-> ".join(term) for term in terms]
        hits = self._find(session, " | ".join(exact), wanted, limit)
        if len(hits) < limit:
            beginnings = " | ".join(f"{term[0]}:*" for term in terms if may_begin(term))
            if beginnings:
                floor = min((score for _, score in hits), default=1.0)
                known = {note.id for note, _ in hits}
                more = [note for note, _ in self._find(session, beginnings, wanted, limit) if note.id not in known]
                hits += [(note, floor * 0.9 ** (at + 1)) for at, note in enumerate(more)]
        return hits_of(hits[:limit], terms)

    def _find(self, session: Session, words: str, wanted: NoteFilter, limit: int) -> list[tuple[Note, float]]:
        asked: Any = func.to_tsquery(_config("english"), words).op("||")(func.to_tsquery(_config("simple"), words))
        rank = func.ts_rank_cd(NOTE.c.search, asked, 1).label("rank")
        statement = (
            select(*COLUMNS, rank)
            .where(NOTE.c.search.op("@@")(asked), *conditions(wanted))
            .order_by(rank.desc(), NOTE.c.seq.desc())
            .limit(limit)
        )
        return [(note_of(row), float(row[-1])) for row in session.connection().execute(statement)]
