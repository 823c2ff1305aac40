"""The progress of an import, stored with its writes, so that a resumed import continues exactly."""

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
    """The outcome of an import by file."""

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
        """Record a message about a file; the first ones are kept."""
        if len(self.problems) < _NAMED:
            self.problems.append({"path": path, "problem": problem})

    def copy(self) -> ImportOutcome:
        """Return another one of the same values."""
        return ImportOutcome(**{**vars(self), "problems": list(self.problems)})


def load(session: Session, file: str) -> tuple[int, ImportOutcome]:
    """Return the number of processed entries of an archive, and their outcome."""
    row = session.execute(select(IMPORT.c.done, IMPORT.c.outcome).where(IMPORT.c.file == file)).first()
    return (row.done, ImportOutcome(**orjson.loads(row.outcome))) if row is not None else (0, ImportOutcome())


def store(session: Session, file: str, done: int, outcome: ImportOutcome, now: datetime) -> None:
    """Store the progress of an import in the transaction of its writes."""
    values: dict[str, Any] = {"done": done, "outcome": orjson.dumps(vars(outcome)).decode(), "stored_at": now}
    changed = session.connection().execute(update(IMPORT).where(IMPORT.c.file == file).values(**values))
    if not changed.rowcount:
        session.execute(insert(IMPORT).values(file=file, **values))


def forget(session: Session, before: datetime) -> None:
    """Forget the imports that were last heard of before a time."""
    session.execute(delete(IMPORT).where(IMPORT.c.stored_at < before))
