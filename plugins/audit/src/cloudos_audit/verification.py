"""Verifies the chain from the newest checkpoint to the head, in pages, while the log is written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from cloudos_sdk import Context, Database, InvalidRequest
from sqlalchemy import select
from sqlmodel import Session

from cloudos_audit.chain import GENESIS, Seal, entry_hash
from cloudos_audit.chain_head import CHECKPOINT, ENTRY, LogEndReader, LogEnds, SealMark
from cloudos_audit.external_seal import BrokenPosition, Position, PositionFile
from cloudos_audit.raw_columns import exact, plain, plain_time
from cloudos_audit.schemas import Problem, Verification

_PAGE = 2000


@dataclass
class _Walk:
    """How far a verification is: the entry that must come next, and the hash that it must name."""

    ends: LogEnds
    expected: int = 1
    link: Any = GENESIS
    entries: int = 0
    first: int | None = None
    last: int | None = None
    reached: int | None = None
    problem: Problem | None = field(default=None)

    def found(self, seq: int, kind: str, sentence: str) -> None:
        """Keep the first problem."""
        self.problem = self.problem or Problem(seq=seq, kind=kind, sentence=sentence)


class Verifier:
    """Finds altered, removed, added and reordered entries."""

    def __init__(self, db: Database, seal: Seal, mark: SealMark) -> None:
        self._db = db
        self._seal = seal
        self._mark = mark
        self._file = PositionFile(mark.path, seal)
        self._ending = LogEndReader(db.dialect)
        self._one_at_a_time = asyncio.Lock()
        self._entries = select(*(exact(column, db.dialect) for column in ENTRY.c)).order_by(ENTRY.c.seq).limit(_PAGE)
        self._checkpoints = select(*(exact(column, db.dialect) for column in CHECKPOINT.c)).order_by(CHECKPOINT.c.id)

    @classmethod
    def of(cls, ctx: Context) -> Verifier:
        """Return the verifier of a node's log."""
        return cls(ctx.db, Seal(ctx.secrets.digest), SealMark(ctx.data_dir))

    async def expect(self, outcome: Verification, kept: Position) -> Verification:
        """Return the outcome, checked against a position kept outside of the node.

        Raises InvalidRequest where the log no longer has what is as old.
        """
        held = await self._held(kept)
        if held is None:
            message = f"entry {kept.number} reached its retention; only newer ones can be compared"
            raise InvalidRequest.field("number", message)
        if held or outcome.problem is not None:
            return outcome
        walk = _Walk(await self._db.read(self._ending.read))
        self._found_without(walk, kept, "elsewhere")
        return outcome.model_copy(update={"valid": False, "problem": walk.problem})

    async def verify(self) -> Verification:
        """Verify the log up to the current head; restart if retention ran meanwhile."""
        async with self._one_at_a_time:
            while True:
                walk = await self._walk()
                now = await self._db.read(self._ending.read)
                if now.checkpoint == walk.ends.checkpoint:
                    return Verification(
                        valid=walk.problem is None,
                        entries=walk.entries,
                        first=walk.first,
                        last=walk.last,
                        problem=walk.problem,
                    )

    async def _walk(self) -> _Walk:
        try:  # before the head is read, which is never behind it
            sealed, broken = await asyncio.to_thread(self._file.read), False
        except BrokenPosition:
            sealed, broken = None, True
        walk = await self._db.read(self._begin)
        self._check_head(walk)
        if broken:
            walk.found(0, "head", "The seal outside of the database is not as it was written.")
        while walk.problem is None and not await self._db.read(lambda session: self._page(session, walk)):
            pass
        if walk.problem is None:
            self._check_end(walk)
        if walk.problem is None and sealed is not None and await self._held(sealed) is False:
            self._found_without(walk, sealed, "outside of the database")
        return walk

    async def _held(self, position: Position) -> bool | None:
        return await self._db.read(lambda session: position.held(session, self._db.dialect))

    def _found_without(self, walk: _Walk, sealed: Position, where: str) -> None:
        end = walk.ends.seq or 0
        if sealed.number > end:
            sentence = f"{_span(end + 1, sealed.number)} missing: the log ends at {end}, and was sealed {where} at"
            walk.found(
                sealed.number, "removed", f"{sentence} {sealed.number}. Its end was cut, or an older copy put back."
            )
        else:
            sentence = f"Entry {sealed.number} is not the one that was sealed {where}"
            walk.found(sealed.number, "altered", f"{sentence}: the log was turned back and went on from there.")

    def _begin(self, session: Session) -> _Walk:
        walk = _Walk(self._ending.read(session))
        mac, seq = "", 1
        for number, row in enumerate(session.execute(self._checkpoints).mappings(), 1):
            point: dict[str, Any] = {name: plain(value) for name, value in row.items()}
            point["time"] = plain_time(point["time"])
            sealed = self._seal.holds(point["mac"], self._seal.checkpoint(point))
            if point["id"] != number or point["prev_mac"] != mac or not sealed or point["seq"] <= seq:
                sentence = f"Checkpoint {number} of retention was altered, removed or added."
                walk.found(number, "checkpoint", sentence)
                return walk
            mac, seq = point["mac"], point["seq"]
            walk.expected, walk.link = seq, point["entry_hash"]
        return walk

    def _check_head(self, walk: _Walk) -> None:
        ends = walk.ends
        last = ends.last_entry or 0
        if ends.seq is None:
            if self._mark.stands() or not ends.fresh():
                walk.found(last, "head", "The head of the log is missing; entries at its end may be missing with it.")
        elif not ends.sealed(self._seal):
            walk.found(last, "head", "The head of the log was altered, or written with the key of another host.")
        elif ends.broken_at is not None:
            sentence = f"The head was missing or altered when entry {ends.broken_at} was written."
            walk.found(ends.broken_at, "head", f"{sentence} What stood before it may not be all there was.")
        elif last > ends.seq:
            walk.found(last, "added", f"Entry {last} lies beyond the head: it was added by someone else.")

    def _page(self, session: Session, walk: _Walk) -> bool:
        """Check the next entries; True at the end."""
        if walk.ends.seq is None:
            return True
        statement = self._entries.where(ENTRY.c.seq <= walk.ends.seq)
        if walk.reached is not None:
            statement = statement.where(ENTRY.c.seq > walk.reached)
        names = tuple(ENTRY.c.keys())
        rows = session.execute(statement).all()
        for row in rows:
            entry = {name: plain(value) for name, value in zip(names, row, strict=True)}
            entry["time"] = plain_time(entry["time"])
            self._check(session, walk, entry)
            if walk.problem is not None:
                return True
            walk.link = entry["hash"]
            walk.last = walk.reached = entry["seq"]
            walk.first = walk.last if walk.first is None else walk.first
            walk.entries += 1
            walk.expected += 1
        return len(rows) < _PAGE

    def _check(self, session: Session, walk: _Walk, entry: dict[str, Any]) -> None:
        seq = entry["seq"]
        if seq > walk.expected:
            walk.found(walk.expected, "removed", f"{_span(walk.expected, seq - 1)} missing before entry {seq}.")
        elif seq < walk.expected:
            walk.found(seq, "added", f"Entry {seq} lies before the first one, {walk.expected}: it was added.")
        elif entry["prev_hash"] != walk.link:
            elsewhere = self._successor(session, walk.link, seq)
            if elsewhere is not None:
                sentence = f"Entry {seq} is out of order: what followed entry {seq - 1} is now number {elsewhere}."
                walk.found(seq, "reordered", sentence)
            else:
                walk.found(seq, "altered", f"Entry {seq} does not follow entry {seq - 1}: one of the two was altered.")
        elif entry_hash(entry) != entry["hash"]:
            walk.found(seq, "altered", f"Entry {seq} was altered after it was written.")

    def _successor(self, session: Session, link: str, seq: int) -> int | None:
        statement = select(ENTRY.c.seq).where(ENTRY.c.prev_hash == link, ENTRY.c.seq != seq).limit(1)
        found = session.execute(statement).scalar()
        return None if found is None else int(found)

    def _check_end(self, walk: _Walk) -> None:
        head = walk.ends.seq
        if head is None:
            return
        if walk.expected <= head:
            walk.found(walk.expected, "removed", f"{_span(walk.expected, head)} missing at the end of the log.")
        elif walk.link != walk.ends.hash:
            walk.found(head, "altered", f"Entry {head} is not the one that the head of the log was sealed with.")


def _span(first: int, last: int) -> str:
    return f"Entry {first} is" if first == last else f"The entries {first} to {last} are"
