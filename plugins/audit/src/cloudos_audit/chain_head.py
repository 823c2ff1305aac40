"""The chain head: the row of the log's end, and the mark outside the database that it exists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select
from sqlmodel import Session

from cloudos_audit.chain import GENESIS, Seal
from cloudos_audit.models import AuditEntry, Checkpoint, Head
from cloudos_audit.raw_columns import exact, plain

ENTRY: Table = AuditEntry.__table__
HEAD: Table = Head.__table__
CHECKPOINT: Table = Checkpoint.__table__

HEAD_ID = 1


class SealMark:
    """A file outside the database that is made with the first head: from then on a head must be there.

    In it is where the log ended (`PositionFile`).
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.begun"
        self._made = False

    def stands(self) -> bool:
        """Return whether a head was ever written."""
        self._made = self._made or self.path.exists()
        return self._made

    def make(self) -> None:
        """Create the mark if it is missing."""
        if not self.stands():
            self.path.touch(mode=0o600)


@dataclass(frozen=True)
class LogEnds:
    """Both ends of the log, read by one statement; `seq` is None without a head."""

    seq: Any
    hash: Any
    broken_at: Any
    mac: Any
    first_entry: int | None
    last_entry: int | None
    checkpoint: int | None

    def sealed(self, seal: Seal) -> bool:
        """Return whether the head exists with a valid seal."""
        return self.seq is not None and seal.holds(self.mac, seal.head(self.seq, self.hash, self.broken_at))

    def fresh(self) -> bool:
        """Return whether the log was never written, according to the database."""
        return self.seq is None and self.last_entry is None and self.checkpoint is None


class LogEndReader:
    """Reads both ends of the log."""

    def __init__(self, dialect: str) -> None:
        where = HEAD.c.id == HEAD_ID
        self._statement = select(
            *(
                select(exact(HEAD.c[name], dialect)).where(where).scalar_subquery()
                for name in ("seq", "hash", "broken_at", "mac")
            ),
            *(
                select(function(column)).scalar_subquery()
                for function, column in (
                    (func.min, ENTRY.c.seq),
                    (func.max, ENTRY.c.seq),
                    (func.max, CHECKPOINT.c.id),
                )
            ),
        )

    def read(self, session: Session) -> LogEnds:
        """Return the ends."""
        return LogEnds(*(plain(value) for value in session.execute(self._statement).one()))


def last_link(session: Session, ends: LogEnds, dialect: str) -> tuple[int, str]:
    """Return sequence number and hash of the newest entry, or of the newest checkpoint."""
    if ends.last_entry is not None:
        hash = session.execute(select(exact(ENTRY.c.hash, dialect)).where(ENTRY.c.seq == ends.last_entry)).scalar()
        return ends.last_entry, str(plain(hash))
    if ends.checkpoint is not None:
        newest = select(CHECKPOINT.c.seq, CHECKPOINT.c.entry_hash).where(CHECKPOINT.c.id == ends.checkpoint)
        seq, hash = session.execute(newest).one()
        return seq - 1, hash
    return 0, GENESIS
