"""Writes the log: each event becomes one entry, those that wait in one transaction with the head that they move."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cloudos_sdk import Clock, Database, Envelope, Health, iso
from cloudos_sdk.lines import one_line
from sqlalchemy import bindparam, insert, select, update
from sqlmodel import Session

from cloudos_audit.chain import Seal, canonical, entry_hash, time_text
from cloudos_audit.chain_head import ENTRY, HEAD, HEAD_ID, LogEndReader, LogEnds, SealMark, last_link
from cloudos_audit.external_seal import BrokenPosition, DurableFile, Position, PositionFile, Syslog

_LONGEST_WAIT = 30.0
_LATE = 60.0
_RECENT = 10.0
_INSERT = insert(ENTRY)
_RECORDED = select(ENTRY.c.event_id).where(ENTRY.c.event_id.in_(bindparam("events", expanding=True)))


class Recorder:
    """Reads all events into the log. Retries for ever; never skips an event."""

    def __init__(
        self, db: Database, clock: Clock, seal: Seal, mark: SealMark, log: Any, syslog: Syslog | None = None
    ) -> None:
        self._db = db
        self._clock = clock
        self._seal = seal
        self._mark = mark
        self._log = log
        self._file = PositionFile(mark.path, seal)
        self._syslog = syslog
        self._durable: DurableFile | None = None
        self._sealed: Position | None = None
        self._turned_back = False
        """Whether the database ends before where it was sealed, or elsewhere: then the file stays as it is."""
        self._ending = LogEndReader(db.dialect)
        self._refused: tuple[str, datetime] | None = None
        self._late: tuple[float, float] = (0.0, 0.0)

    async def open(self) -> None:
        """Create the mark if a head exists, and continue from the sealed position.

        A host that ended between the commit and the file left the file behind: it goes on from what it says, where
        the database still says the same.
        """
        ends, durable = await self._db.read(lambda s: (self._ending.read(s), DurableFile(s, self._db.dialect)))
        self._durable = durable
        try:
            self._sealed = await asyncio.to_thread(self._file.read)
        except BrokenPosition:
            self._turned_back = True
        if ends.seq is None:
            return
        self._mark.make()
        if ends.sealed(self._seal) and ends.broken_at is None:
            await self._advance(Position(ends.seq, ends.hash))

    async def handle(self, events: Sequence[Envelope]) -> None:
        """Write the entries of events, each once however often it comes."""
        wait = 0.2
        while True:
            try:
                end = await self._db.write(lambda session: self._written(session, events))
            except Exception as error:  # noqa: BLE001 - an entry that is lost is worse than a log that is late
                if len(events) > 1:
                    for event in events:  # so that no more than the one that cannot be written waits, and what follows
                        await self.handle([event])
                    return
                self._refused = self._refused or (events[0].id, self._clock.now())
                self._log.error("audit entry not written", event_id=events[0].id, error=type(error).__name__)
                await self._clock.sleep(wait)
                wait = min(_LONGEST_WAIT, wait * 2)
            else:
                break
        self._refused = None
        self._late = ((self._clock.now() - events[-1].time).total_seconds(), self._clock.monotonic())
        self._mark.make()
        if end is not None:
            await self._advance(end)

    def _written(self, session: Session, events: Sequence[Envelope]) -> Position | None:
        if not self.append(session, events):
            return None
        ends = self._ending.read(session)
        return Position(ends.seq, ends.hash)

    async def _advance(self, end: Position) -> None:
        """Seal the log's end outside of the database, unless the database was rolled back."""
        before = self._sealed
        try:
            if before is not None and not self._turned_back and await self._lost(before):
                self._turned_back = True
                self._log.error("the audit log no longer has the entry that it was sealed at", number=before.number)
            await asyncio.to_thread(self._store, end)
        except Exception as error:  # noqa: BLE001 - the entry is written; the next one moves the file
            self._log.warning("the audit log cannot be sealed outside of the database", error=str(error))

    async def _lost(self, position: Position) -> bool:
        return await self._db.read(lambda session: position.held(session, self._db.dialect)) is False

    def _store(self, end: Position) -> None:
        if self._durable is not None:
            self._durable.sync()
        if not self._turned_back and (self._sealed is None or end.number > self._sealed.number):
            self._file.write(end)
            self._sealed = end
        if self._syslog is not None:
            self._syslog.tell(end)

    def append(self, session: Session, events: Sequence[Envelope]) -> int:
        """Add the entries in the transaction of `session`, but of events that have one already; return how many."""
        known = set(session.execute(_RECORDED, {"events": [event.id for event in events]}).scalars())
        events = [event for event in {event.id: event for event in events}.values() if event.id not in known]
        if not events:
            return 0
        ends = self._ending.read(session)
        next_seq, hash, broken_at = self._follow(session, ends)
        entries = []
        for seq, event in enumerate(events, next_seq):
            entry = _entry(seq, hash, event)
            hash = entry_hash(entry)
            entries.append({**entry, "time": event.time, "hash": hash})
        session.connection().execute(_INSERT, entries)
        seq = entries[-1]["seq"]
        head = {"seq": seq, "hash": hash, "broken_at": broken_at, "mac": self._seal.head(seq, hash, broken_at)}
        if ends.seq is None:
            session.execute(insert(HEAD), {"id": HEAD_ID, **head})
        else:
            session.execute(update(HEAD).where(HEAD.c.id == HEAD_ID), head)
        return len(entries)

    def _follow(self, session: Session, ends: LogEnds) -> tuple[int, str, int | None]:
        """Return number and previous hash of the next entry, and the entry at which the head was lost, if any.

        A head that is gone or does not hold is made anew, so that the log goes on; it says so from then on.
        """
        if ends.sealed(self._seal):
            return max(ends.seq, ends.last_entry or 0) + 1, ends.hash, ends.broken_at
        seq, hash = last_link(session, ends, self._db.dialect)
        lost = self._mark.stands() or not ends.fresh()
        return seq + 1, hash, seq + 1 if lost else None

    def health(self) -> Health:
        """Check that the log follows the events."""
        if self._refused is not None:
            event, since = self._refused
            return Health(False, f"The entry of event {event} cannot be written since {iso(since)}; see the log.")
        late, at = self._late
        if late > _LATE and self._clock.monotonic() - at < _RECENT:
            return Health(False, f"The log is {late:.0f} s behind the events and catching up.")
        return Health(True)


def _entry(seq: int, prev_hash: str, event: Envelope) -> dict[str, Any]:
    """Return the columns that an entry's hash covers."""
    data = {name: value for name, value in event.data.items() if name not in ("resource", "details")}
    return {
        "seq": seq,
        "event_id": event.id,
        "time": time_text(event.time),
        "action": event.type,
        "actor_kind": event.actor.kind,
        "actor_id": one_line(event.actor.id),
        "actor_name": one_line(event.actor.name),
        "address": event.actor.address and one_line(event.actor.address),
        "resource": one_line(event.resource),
        "details": one_line(event.details),
        "data": canonical(data).decode(),
        "request_id": event.request_id,
        "prev_hash": prev_hash,
    }
