"""The outbox: events stored with the change that caused them, dispatched after the commit, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from cloudos_sdk import Clock, DatabaseUnavailable, Envelope, Event, new_id
from cloudos_sdk.identity import Caller, act_as, caller
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from cloudos_host.containment import Faults, contained
from cloudos_host.data.database import Database
from cloudos_host.data.models import EventCursor, EventRow, EventSetAside
from cloudos_host.data.outbox_tail import EventTail, StoredEvent
from cloudos_host.tasks import PluginTasks

_TABLE = EventRow.__table__
_INSERT = insert(_TABLE)  # once: to build and compile it for each event costs three times the writing
_BATCH = 200
_NEWEST = select(func.max(_TABLE.c.seq))
_BEHIND = select(_TABLE).where(_TABLE.c.seq > bindparam("behind")).order_by(_TABLE.c.seq).limit(bindparam("most"))
_CURSORS = EventCursor.__table__
_MOVE = update(_CURSORS).where(_CURSORS.c.reader == bindparam("moved"))
_PASSED_OVER = 1000  # events that a reader has no use for until it writes down that it is past them
_TRIES = 8
_POLL = 2.0
_ORDER = 0x636C6F75646F73  # names our lock among those of the server

Handler = Callable[[Sequence[Envelope]], Awaitable[None]]


class EventOutbox:
    """The outbox of events, its readers and live listeners."""

    def __init__(self, db: Database, clock: Clock, log: Any) -> None:
        self.db = db
        self._clock = clock
        self._log = log
        self._polled: int | None = None
        self._wakes: set[asyncio.Event] = set()
        self._tail = EventTail(self._load, self.last)
        self.reached: dict[str, int] = {}
        self.listeners: set[Callable[[str, str, str, bytes], None]] = set()

    def emit(self, session: Session, event: Event) -> str:
        """Store `event` in the transaction of `session`; return its id."""
        if self.db.dialect == "postgresql" and not session.info.get("events_wake"):
            # numbers must be committed in their order, or a reader that is past a later one never sees the earlier
            session.execute(select(func.pg_advisory_xact_lock(_ORDER)))
        origin = caller()
        actor = origin.actor()
        id = new_id("evt")
        row = {
            "id": id,
            "type": event.type,
            "time": self._clock.now(),
            "actor_kind": actor.kind,
            "actor_id": actor.id,
            "actor_name": actor.name,
            "address": actor.address,
            "request_id": origin.request_id,
            "resource": event.resource,
            "details": event.details,
            "audience": event.audience,
            "data": orjson.dumps(event).decode(),
        }
        session.connection().execute(_INSERT, row)
        if not session.info.get("events_wake"):
            session.info["events_wake"] = True
            self.db.after_commit(session, self._committed)
        return id

    def _committed(self) -> None:
        self._tail.grew()
        for wake in self._wakes:
            wake.set()

    def watch(self, wake: asyncio.Event) -> None:
        """Have `wake` set at each commit of events."""
        self._wakes.add(wake)

    def unwatch(self, wake: asyncio.Event) -> None:
        """End a watch."""
        self._wakes.discard(wake)

    async def last(self) -> int:
        """Return the sequence number of the newest event, or 0."""
        return int(await self.db.read(lambda s: s.execute(_NEWEST).scalar()) or 0)

    async def poll(self) -> None:
        """Watch for events of other processes (the command line)."""
        if self._polled is None:  # else it goes on after an outage, in which others may have written
            self._polled = await self.last()
        while True:
            await asyncio.sleep(_POLL)
            last = await self.last()
            if last > max(self._polled, self._tail.end):
                self._committed()
            self._polled = last

    async def after(self, seq: int, limit: int = _BATCH) -> list[Envelope]:
        """Return the events behind `seq`, oldest first."""
        return [event.envelope() for event in await self._load(seq, limit)]

    async def shown_after(self, seq: int) -> Sequence[StoredEvent]:
        """Return events after `seq`, oldest first, for streams; empty if there is none."""
        found = await self._tail.after(seq)
        return found if found is not None else await self._load(seq, _BATCH)

    async def _load(self, seq: int, limit: int) -> list[StoredEvent]:
        found = {"behind": seq, "most": limit}
        return await self.db.read(lambda s: [StoredEvent(row) for row in s.execute(_BEHIND, found).mappings()])

    async def _wanted(self, seq: int, types: frozenset[str]) -> tuple[list[Envelope], int]:
        """Return the events of `types` behind `seq`, oldest first, and up to which number there are no others."""
        at_hand, end = await self._tail.after(seq), self._tail.end
        if at_hand is not None:
            wanted = [event for event in at_hand if "*" in types or event.type in types][:_BATCH]
            found = [event.envelope() for event in wanted]
            return found, found[-1].seq if len(found) == _BATCH else max(seq, end)
        statement = _BEHIND if "*" in types else _BEHIND.where(_TABLE.c.type.in_(types))

        def load(session: Session) -> tuple[list[Envelope], int]:
            newest = session.execute(_NEWEST).scalar() or 0
            rows = session.execute(statement, {"behind": seq, "most": _BATCH}).mappings()
            found = [StoredEvent(row).envelope() for row in rows]
            last = found[-1].seq if found else seq
            return found, last if len(found) == _BATCH else max(newest, last)

        return await self.db.read(load)

    async def prune(self, before: datetime, plugins: Iterable[str]) -> int:
        """Delete the events older than `before` that every reader of `plugins` has behind it; return how many."""
        ids = set(plugins)

        def delete_read(session: Session) -> int:
            cursors = session.execute(select(EventCursor.__table__.c.reader, EventCursor.__table__.c.seq)).all()
            reached = [
                max(seq, self.reached.get(reader, 0)) for reader, seq in cursors if reader.split(":", 1)[0] in ids
            ]
            statement = delete(_TABLE).where(_TABLE.c.time < before)
            if reached:
                statement = statement.where(_TABLE.c.seq <= min(reached))
            newest = session.execute(_NEWEST).scalar() or 0  # never: its number would come again
            return int(session.connection().execute(statement.where(_TABLE.c.seq < newest)).rowcount)

        return await self.db.write(delete_read)

    async def lost(self, plugin_id: str) -> int:
        """Return how many events the plugin's readers could not handle and left behind."""
        table = EventSetAside.__table__
        statement = select(func.count()).select_from(table).where(table.c.reader.startswith(f"{plugin_id}:"))
        return int(await self.db.read(lambda s: s.execute(statement).scalar()) or 0)

    async def follow(
        self, reader: str, types: frozenset[str], handler: Handler, *, from_start: bool, together: bool = False
    ) -> None:
        """Hand each event of `types` to `handler`, or all that wait `together`, in order, until cancelled."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        act_as(Caller(None))
        try:
            cursor = stored = await self._cursor(reader, 0 if from_start else await self.last())
            self.reached[reader] = cursor
            while True:
                try:
                    wanted, reach = await self._wanted(cursor, types)
                    if not (together and len(wanted) > 1 and await self._deliver_all(reader, wanted, handler)):
                        for envelope in wanted:
                            await self._deliver(reader, envelope, handler)
                    if wanted or reach - stored > _PASSED_OVER:
                        await self._move(reader, reach)
                        stored = reach
                    self.reached[reader] = cursor = reach
                    if len(wanted) < _BATCH:
                        await wake.wait()
                        wake.clear()
                except (SQLAlchemyError, DatabaseUnavailable) as error:
                    self._log.warning("events cannot be read", reader=reader, error=str(error))
                    await asyncio.sleep(_POLL)
        finally:
            self._wakes.discard(wake)
            self.reached.pop(reader, None)

    async def _deliver_all(self, reader: str, batch: Sequence[Envelope], handler: Handler) -> bool:
        """Deliver a batch; False if it fails, so that each event is delivered by itself."""
        try:
            await contained(handler(batch))
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - plugin code; tried again for each event
            self._log.info("events are handed over one by one", reader=reader, error=str(error))
            return False
        return True

    async def _deliver(self, reader: str, envelope: Envelope, handler: Handler) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                await contained(handler([envelope]))
            except DatabaseUnavailable:  # no fault of the event: it is handed over again once the database is back
                raise
            except Exception as error:  # noqa: BLE001 - plugin code; tried again, then set aside and logged
                self._log.warning(
                    "event handler failed", reader=reader, event_id=envelope.id, attempt=attempt, error=str(error)
                )
                if attempt == _TRIES:
                    await self._set_aside(reader, envelope, error)
                    return
                await self._clock.sleep(min(60.0, 0.1 * 2**attempt))
            else:
                return

    async def _set_aside(self, reader: str, envelope: Envelope, error: Exception) -> None:
        row = EventSetAside(reader=reader, seq=envelope.seq, error=repr(error), time=self._clock.now())

        def put(session: Session) -> None:
            session.merge(row)

        await self.db.write(put)

    async def _cursor(self, reader: str, default: int) -> int:
        def load(session: Session) -> int:
            row = session.get(EventCursor, reader)
            if row is None:
                session.add(EventCursor(reader=reader, seq=default))
                return default
            return int(row.seq)

        return await self.db.write(load)

    async def _move(self, reader: str, seq: int) -> None:
        await self.db.write(lambda s: s.connection().execute(_MOVE, {"moved": reader, "seq": seq}))


class PluginEvents:
    """One plugin's access to the outbox: emits declared events; its readers end with the plugin."""

    def __init__(
        self, log: EventOutbox, plugin_id: str, emits: tuple[type[Event], ...], tasks: PluginTasks, faults: Faults
    ) -> None:
        self._faults = faults
        self._events = log
        self._tasks = tasks
        self._id = plugin_id
        self._emits = emits
        self.readers: list[asyncio.Task[None]] = []

    def emit(self, session: Session, event: Event) -> str:
        """Store `event` in the transaction of `session`. Raises TypeError if the manifest does not declare it."""
        if not isinstance(event, self._emits):
            raise TypeError(f"{type(event).__name__} is not in the manifest's `emits` of {self._id!r}")
        return self._events.emit(session, event)

    def subscribe(
        self,
        handler: Callable[[Envelope], Awaitable[None]],
        *types: type[Event] | str,
        name: str,
        from_start: bool = False,
    ) -> None:
        """Have `handler` called for each event of `types`."""

        async def one(events: Sequence[Envelope]) -> None:
            await handler(events[0])

        self._follow(one, types, name, from_start=from_start)

    def subscribe_batches(
        self, handler: Handler, *types: type[Event] | str, name: str, from_start: bool = False
    ) -> None:
        """Have `handler` called with all events of `types` that wait."""
        self._follow(handler, types, name, from_start=from_start, together=True)

    def _follow(self, handler: Handler, types: Sequence[type[Event] | str], name: str, **how: bool) -> None:
        wanted = frozenset(t if isinstance(t, str) else t.type for t in types)
        reader = f"{self._id}:{name}"

        async def counted(events: Sequence[Envelope]) -> None:
            try:
                await contained(handler(events))
            except DatabaseUnavailable:
                raise
            except Exception as error:
                self._faults.note(f"event handler {name}", error)
                raise

        follow = partial(self._events.follow, reader, wanted, counted, **how)
        self.readers.append(self._tasks.start(f"reader {name}", follow))

    def announce(self, type: str, data: Mapping[str, Any], *, audience: str, resource: str = "") -> None:
        """Send something to the current listeners."""
        line = orjson.dumps({"type": type, "resource": resource, "data": dict(data)})
        for listener in list(self._events.listeners):
            listener("", type, audience, line)

    async def stop(self) -> None:
        """End the plugin's readers."""
        for task in self.readers:
            task.cancel()
        await asyncio.gather(*self.readers, return_exceptions=True)
        self.readers.clear()
