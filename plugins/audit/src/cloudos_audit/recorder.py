"""Writes the log: each event becomes one entry, in one transaction with the head that it moves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import Clock, Database, Envelope, Health, iso
from sqlalchemy import insert, update
from sqlmodel import Session

from cloudos_audit.chain import Seal, canonical, entry_hash, time_text
from cloudos_audit.head import ENTRY, HEAD, HEAD_ID, Ending, Ends, Mark, last_link

_LONGEST_WAIT = 30.0
_LATE = 60.0
_RECENT = 10.0


class Recorder:
    """The reader of all events. It never gives one up: what cannot be written now is tried until it can."""

    def __init__(self, db: Database, clock: Clock, seal: Seal, mark: Mark, log: Any) -> None:
        self._db = db
        self._clock = clock
        self._seal = seal
        self._mark = mark
        self._log = log
        self._ending = Ending(db.dialect)
        self._refused: tuple[str, datetime] | None = None
        self._late: tuple[float, float] = (0.0, 0.0)

    async def open(self) -> None:
        """Make the mark where there is a head already."""
        if (await self._db.read(self._ending.read)).seq is not None:
            self._mark.make()

    async def handle(self, event: Envelope) -> None:
        """Write the entry of an event, once however often it comes."""
        wait = 0.2
        while True:
            try:
                await self._db.write(lambda session: self.append(session, event))
            except Exception as error:  # noqa: BLE001 - an entry that is lost is worse than a log that is late
                self._refused = self._refused or (event.id, self._clock.now())
                self._log.error("audit entry not written", event_id=event.id, error=type(error).__name__)
                await self._clock.sleep(wait)
                wait = min(_LONGEST_WAIT, wait * 2)
            else:
                break
        self._refused = None
        self._late = ((self._clock.now() - event.time).total_seconds(), self._clock.monotonic())
        self._mark.make()

    def append(self, session: Session, event: Envelope) -> bool:
        """Add the entry in the transaction of `session`; False where the event has one already."""
        ends = self._ending.read(session, event.id)
        if ends.recorded is not None:
            return False
        seq, prev_hash, broken_at = self._follow(session, ends)
        data = {name: value for name, value in event.data.items() if name not in ("resource", "details")}
        entry: dict[str, Any] = {
            "seq": seq,
            "event_id": event.id,
            "time": time_text(event.time),
            "action": event.type,
            "actor_kind": event.actor.kind,
            "actor_id": event.actor.id,
            "actor_name": event.actor.name,
            "address": event.actor.address,
            "resource": event.resource,
            "details": event.details,
            "data": canonical(data).decode(),
            "request_id": event.request_id,
            "prev_hash": prev_hash,
        }
        entry["hash"] = entry_hash(entry)
        session.execute(insert(ENTRY), {**entry, "time": event.time})
        head = {"seq": seq, "hash": entry["hash"], "broken_at": broken_at}
        head["mac"] = self._seal.head(seq, entry["hash"], broken_at)
        if ends.seq is None:
            session.execute(insert(HEAD), {"id": HEAD_ID, **head})
        else:
            session.execute(update(HEAD).where(HEAD.c.id == HEAD_ID), head)
        return True

    def _follow(self, session: Session, ends: Ends) -> tuple[int, str, int | None]:
        """Return number and link of the next entry, and where the head was lost, if it ever was.

        A head that is gone or does not hold is made anew, so that the log goes on; it says so from then on.
        """
        if ends.sealed(self._seal):
            return max(ends.seq, ends.last_entry or 0) + 1, ends.hash, ends.broken_at
        seq, hash = last_link(session, ends, self._db.dialect)
        lost = self._mark.stands() or not ends.fresh()
        return seq + 1, hash, seq + 1 if lost else None

    def health(self) -> Health:
        """Tell whether the log follows the events."""
        if self._refused is not None:
            event, since = self._refused
            return Health(False, f"The entry of event {event} cannot be written since {iso(since)}; see the log.")
        late, at = self._late
        if late > _LATE and self._clock.monotonic() - at < _RECENT:
            return Health(False, f"The log is {late:.0f} s behind the events and catching up.")
        return Health(True)
