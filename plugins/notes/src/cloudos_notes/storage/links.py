"""Links as rows. A link leads to the note of that file name, else that title: of its namespace first, then the oldest.

Where a title begins or ceases to exist, `resolve` leads the links that name it anew, so that rows and titles agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cloudos_sdk import NotFound
from sqlalchemy import bindparam, case, delete, func, insert, select, update
from sqlmodel import Session

from cloudos_notes.storage.tables import LINK, NOTE, PRESENT

TEXT, MANUAL = "text", "manual"


def _first(column: Any, *, of_namespace: bool) -> Any:
    # by minimum, since SQLite does not know the outer row where a subquery is ordered
    seq = case((NOTE.c.namespace == LINK.c.namespace, NOTE.c.seq)) if of_namespace else NOTE.c.seq
    named = (NOTE.c.owner == LINK.c.owner, column == LINK.c.key, PRESENT)
    return select(func.min(seq)).where(*named).correlate(LINK).scalar_subquery()


_BEST = func.coalesce(
    _first(NOTE.c.file_key, of_namespace=True),
    _first(NOTE.c.title_key, of_namespace=True),
    _first(NOTE.c.file_key, of_namespace=False),
    _first(NOTE.c.title_key, of_namespace=False),
)
_INSERT = insert(LINK)
_LEAD = update(LINK).where(LINK.c.kind == TEXT).values(target=_BEST)
_LEAD_TO = _LEAD.where(LINK.c.owner == bindparam("o"), LINK.c.key == bindparam("k"))
_LEAD_FROM = _LEAD.where(LINK.c.source == bindparam("s"))


def resolve(session: Session, owner: str, keys: Iterable[str | None]) -> None:
    """Lead all links of one owner that name these titles or files."""
    given = [{"o": owner, "k": key} for key in sorted({key for key in keys if key is not None})]
    if given:
        session.connection().execute(_LEAD_TO, given)


def write_links(session: Session, source: int, owner: str, namespace: str, links: Mapping[str, str]) -> None:
    """Add the links of a text, by key and title."""
    if links:
        rows = [
            {
                "source": source,
                "kind": TEXT,
                "key": key,
                "owner": owner,
                "namespace": namespace,
                "title": title,
                "target": None,
            }
            for key, title in links.items()
        ]
        session.connection().execute(_INSERT, rows)
        session.connection().execute(_LEAD_FROM, {"s": source})


def replace_links(session: Session, source: int, owner: str, namespace: str, links: Mapping[str, str]) -> None:
    """Replace the stored links of a text by its current ones."""
    mine = (LINK.c.source == source, LINK.c.kind == TEXT)
    had = {row.key: row.title for row in session.execute(select(LINK.c.key, LINK.c.title).where(*mine))}
    if had != dict(links):
        gone = [key for key in had if links.get(key) != had[key]]
        for at in range(0, len(gone), 500):
            session.execute(delete(LINK).where(*mine, LINK.c.key.in_(gone[at : at + 500])))
        new = {key: title for key, title in links.items() if had.get(key) != title}
        write_links(session, source, owner, namespace, new)


def link(session: Session, owner: str, source_id: str, target_id: str) -> bool:
    """Link two notes manually; False if they were linked. Raises NotFound."""
    ends = _ends(session, owner, (source_id, target_id))
    source, target = ends[source_id], ends[target_id]
    if _linked(session, source.seq, target.seq):
        return False
    insert_manual(session, source.seq, owner, source.namespace, target.seq, target_id, target.title)
    return True


def insert_manual(
    session: Session, source: int, owner: str, namespace: str, target: int, target_id: str, title: str
) -> None:
    """Add a link by hand between notes that have none such."""
    values = {"owner": owner, "namespace": namespace, "title": title, "target": target}
    session.execute(insert(LINK).values(source=source, kind=MANUAL, key=target_id, **values))


def unlink(session: Session, owner: str, source_id: str, target_id: str) -> bool:
    """Remove a manual link; False if there was none."""
    source = select(NOTE.c.seq).where(NOTE.c.id == source_id, NOTE.c.owner == owner, PRESENT).scalar_subquery()
    mine = (LINK.c.source == source, LINK.c.kind == MANUAL, LINK.c.key == target_id)
    return bool(session.connection().execute(delete(LINK).where(*mine)).rowcount)


def forget_target(session: Session, seq: int) -> None:
    """Remove the links that were made by hand to a note that is about to be removed for good."""
    session.execute(delete(LINK).where(LINK.c.target == seq, LINK.c.kind == MANUAL))


def naming(session: Session, target: int, key: str) -> set[int]:
    """Return the notes whose texts link to a note by the title of this key."""
    statement = select(LINK.c.source).where(LINK.c.target == target, LINK.c.kind == TEXT, LINK.c.key == key)
    return set(session.execute(statement).scalars())


def _linked(session: Session, source: int, target: int) -> bool:
    statement = select(LINK.c.kind).where(LINK.c.source == source, LINK.c.target == target)
    return session.execute(statement).first() is not None


def _ends(session: Session, owner: str, ids: tuple[str, str]) -> dict[str, Any]:
    statement = select(NOTE.c.id, NOTE.c.seq, NOTE.c.title, NOTE.c.namespace).where(
        NOTE.c.id.in_(ids), NOTE.c.owner == owner, PRESENT
    )
    found = {row.id: row for row in session.execute(statement)}
    for id in ids:
        if id not in found:
            raise NotFound("note", id)
    return found


def ensure_manual(session: Session, source: Any, target: int, target_id: str, title: str) -> None:
    """Link two notes by hand, unless they are."""
    mine = (LINK.c.source == source.seq, LINK.c.kind == MANUAL, LINK.c.key == target_id)
    if session.execute(select(LINK.c.key).where(*mine)).first() is None:
        insert_manual(session, source.seq, source.owner, source.namespace, target, target_id, title)
