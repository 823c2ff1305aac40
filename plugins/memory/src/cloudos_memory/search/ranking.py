"""Ranking: fuses full-text, vector and link results into one order.

The weights of words and meaning were chosen on questions and answers (decision 0009); what importance, recency and
links add is a judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cloudos_sdk.capabilities import Note

_K = 60  # reciprocal rank fusion as Cormack, Clarke and Büttcher (SIGIR 2009) have it
TEXT, MEANING = 1.0, 1.0
_IMPORTANCE, _RECENCY, _LINK = 0.15, 0.1, 0.15
_FRESH_DAYS = 14.0
_STRONG, _STRONG_SHARE = 3, 0.6
_ALONG = 0.45


@dataclass(slots=True)
class Match:
    """Why a note was found."""

    text: float = 0.0
    meaning: float = 0.0
    link: float = 0.0
    fused: float = 0.0
    matched: list[str] = field(default_factory=list)


def fuse(text: Sequence[tuple[str, float]], meaning: Sequence[tuple[str, float]]) -> dict[str, Match]:
    """Return the hits of both lists, with `fused` between 0 and 1; first in both is 1.

    Both are (note, score), best first.
    """
    matches: dict[str, Match] = {}
    best = (TEXT + MEANING) / (_K + 1)
    for kind, weight, hits in (("text", TEXT, text), ("meaning", MEANING, meaning)):
        for rank, (note_id, score) in enumerate(hits, 1):
            match = matches.setdefault(note_id, Match())
            setattr(match, kind, score)
            match.matched.append(kind)
            match.fused += weight / (_K + rank) / best
    return matches


def strong(matches: Mapping[str, Match]) -> dict[str, float]:
    """Return the top hits that boost the notes linked with them."""
    first = sorted(matches, key=lambda note_id: -matches[note_id].fused)[:_STRONG]
    least = max((matches[note_id].fused for note_id in first), default=0.0) * _STRONG_SHARE
    return {note_id: matches[note_id].fused for note_id in first if matches[note_id].fused >= least}


def follow_links(matches: dict[str, Match], strengths: Mapping[str, float], links: Iterable[tuple[str, str]]) -> None:
    """Add the notes linked with strong hits, in either direction, with the hit's strength."""
    for source, target in links:
        for hit, other in ((source, target), (target, source)):
            if hit not in strengths or other == hit:
                continue
            match = matches.setdefault(other, Match())
            match.link = max(match.link, strengths[hit])
            if "link" not in match.matched:
                match.matched.append("link")


def score(match: Match, note: Note, now: datetime) -> tuple[float, dict[str, float]]:
    """Return a note's score and its parts, each between 0 and 1 but the one of text."""
    recency = 0.0
    if note.last_referenced_at is not None:
        days = max(0.0, (now - note.last_referenced_at).total_seconds() / 86400)
        recency = 0.5 ** (days / _FRESH_DAYS)
    base = match.fused or match.link * _ALONG
    raised = base * (1 + _IMPORTANCE * note.importance + _RECENCY * recency + _LINK * match.link)
    parts = {
        "text": match.text,
        "meaning": match.meaning,
        "link": match.link,
        "importance": note.importance,
        "recency": recency,
        "fused": match.fused,
    }
    return raised, parts
