"""How far an import is, stored with what it wrote: one that is begun again goes on there, and knows how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import delete, insert, select, update
from sqlmodel import Session

from cloudos_notes.storage.tables import IMPORT

_NAMED = 50


@dataclass
class ImportOutcome:
    """What became of the files."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    attachments: int = 0
    failed: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def fail(self, path: str, problem: str) -> None:
        """Count a file that is no note."""
        self.failed += 1
        self.tell(path, problem)

    def tell(self, path: str, problem: str) -> None:
        """Name a file with what is to be known of it; the first ones are kept."""
        if len(self.problems) < _NAMED:
            self.problems.append({"path": path, "problem": problem})

    def copy(self) -> ImportOutcome:
        """Return another one of the same values."""
        return ImportOutcome(**{**vars(self), "problems": list(self.problems)})


def load(session: Session, file: str) -> tuple[int, ImportOutcome]:
    """Return how many entries of an archive are done, and what became of them."""
    row = session.execute(select(IMPORT.c.done, IMPORT.c.outcome).where(IMPORT.c.file == file)).first()
    return (row.done, ImportOutcome(**orjson.loads(row.outcome))) if row is not None else (0, ImportOutcome())


def store(session: Session, file: str, done: int, outcome: ImportOutcome, now: datetime) -> None:
    """Store how far an import is, in the transaction of what it wrote."""
    values: dict[str, Any] = {"done": done, "outcome": orjson.dumps(vars(outcome)).decode(), "stored_at": now}
    changed = session.connection().execute(update(IMPORT).where(IMPORT.c.file == file).values(**values))
    if not changed.rowcount:
        session.execute(insert(IMPORT).values(file=file, **values))


def forget(session: Session, before: datetime) -> None:
    """Forget the imports that were last heard of before a time."""
    session.execute(delete(IMPORT).where(IMPORT.c.stored_at < before))
