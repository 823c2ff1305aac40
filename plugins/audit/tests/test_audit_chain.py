"""Any sequence of events verifies, and any change of a byte in any column is found."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import sqlalchemy as sa
from cloudos_audit.chain import Seal
from cloudos_audit.chain_head import SealMark
from cloudos_audit.models import Base
from cloudos_audit.recorder import Recorder
from cloudos_audit.retention import AuditRetention
from cloudos_audit.verification import Verifier
from cloudos_sdk import Actor, Envelope
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.pool import StaticPool
from sqlmodel import Session

START = datetime(2026, 1, 1, tzinfo=UTC)


class Bare:
    """The tables in memory without their triggers, as one has them who has the file."""

    dialect = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        Base.metadata.create_all(self.engine)
        self.seal = Seal(lambda text: hmac.new(b"key", text.encode(), hashlib.sha256).hexdigest())
        self.mark = SealMark(folder)
        self.recorder = Recorder(self, SimpleNamespace(), self.seal, self.mark, None)

    async def read(self, fn):
        with Session(self.engine) as session:
            return fn(session)

    async def write(self, fn):
        with Session(self.engine) as session:
            result = fn(session)
            session.commit()
            return result

    def record(self, events):
        with Session(self.engine) as session:
            added = self.recorder.append(session, events)
            session.commit()
        if events:
            self.mark.make()
        return added

    def prune(self, days):
        context = SimpleNamespace(
            db=self,
            settings=SimpleNamespace(retention_days=1),
            clock=SimpleNamespace(now=lambda: START + timedelta(days=days)),
            events=SimpleNamespace(emit=lambda session, event: "evt_pruned"),
        )
        return asyncio.run(AuditRetention(context, self.seal).prune())

    def verify(self):
        return asyncio.run(Verifier(self, self.seal, self.mark).verify())


@contextmanager
def bare():
    with tempfile.TemporaryDirectory() as folder:
        log = Bare(Path(folder))
        try:
            yield log
        finally:
            log.engine.dispose()


text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
values = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text, st.lists, max_leaves=4)


@st.composite
def histories(draw):
    """Draw events: ids that may come again, times that may go back."""
    events = []
    for seq in range(1, draw(st.integers(1, 7)) + 1):
        events.append(
            Envelope(
                seq=seq,
                id=draw(st.sampled_from(["evt_again", f"evt_{seq}"])),
                type=draw(st.sampled_from(["app.installed", "user.login"])) + draw(text),
                time=START + timedelta(microseconds=draw(st.integers(0, 5 * 86_400_000_000))),
                actor=Actor(draw(text), draw(text), draw(text), draw(st.none() | text)),
                resource=draw(text),
                details=draw(text),
                data=draw(st.dictionaries(text, values, max_size=3)),
                audience="admin",
                request_id=draw(st.none() | text),
            )
        )
    return events


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(0, 6))
def test_any_sequence_of_events_verifies_with_or_without_retention(events, days):
    with bare() as log:
        assert log.record(events) == len({event.id for event in events})
        assert log.record(events) == 0
        kept = len({event.id for event in events}) - log.prune(days)
        outcome = log.verify()
        assert outcome.problem is None
        assert outcome.entries == kept


@settings(max_examples=300, deadline=None)
@given(histories(), st.data())
def test_any_change_of_a_byte_in_any_column_is_found(events, data):
    with bare() as log:
        log.record(events[: len(events) // 2])
        log.prune(data.draw(st.integers(0, 6)))
        log.record([event for event in events[len(events) // 2 :] if event.id != "evt_again"])
        assert log.verify().valid
        with log.engine.connect() as connection:
            counted = {
                table: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
                for table in Base.metadata.sorted_tables
            }
        table = data.draw(st.sampled_from(sorted((t for t in counted if counted[t]), key=lambda t: t.name) or [None]))
        if table is None:
            return
        column = data.draw(st.sampled_from(list(table.c)))
        try:
            change(log.engine, table, column, data.draw(st.integers(0, counted[table] - 1)), data)
        except sa.exc.IntegrityError:
            return  # made it the id of another event, which the database does not take
        outcome = log.verify()
        assert not outcome.valid, (table.name, column.name)


def change(engine, table, column, place, data):
    """Change one byte of one value; a number by one bit, nothing into something."""
    with engine.begin() as connection:
        key = next(iter(table.primary_key)).name
        row = sa.text(f"SELECT {key}, typeof({column.name}), CAST({column.name} AS BLOB) FROM {table.name}")
        number, kind, stored = connection.execute(row).all()[place]
        if kind == "null":
            new = "''"
        elif kind == "integer":
            new = f"{column.name} + {data.draw(st.sampled_from([1, -1, 64]))}"
            if column.primary_key:  # numbers are unique: only to one that is free
                new = f"(SELECT max({key}) FROM {table.name}) + {data.draw(st.integers(1, 9))}"
        else:
            place = data.draw(st.integers(0, max(0, len(stored) - 1)))
            flipped = bytes([(stored[place] if stored else 0) ^ data.draw(st.integers(1, 255))])
            new = f"CAST(x'{(stored[:place] + flipped + stored[place + 1 :]).hex()}' AS TEXT)"
        statement = f"UPDATE {table.name} SET {column.name} = {new} WHERE {key} = {number}"
        connection.execute(sa.text(statement))
