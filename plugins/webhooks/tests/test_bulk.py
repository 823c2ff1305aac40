"""What goes through one JSON text on SQLite is what SQLAlchemy would have written, row by row."""

from datetime import UTC, datetime, timedelta, timezone

from cloudos_webhooks.delivery import bulk
from cloudos_webhooks.delivery.store import new_row
from cloudos_webhooks.models import Delivery
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select, update
from sqlmodel import Session

TABLE = Delivery.__table__
FIRST, LAST = datetime(1970, 1, 2), datetime(9000, 1, 1)  # noqa: DTZ001 - hypothesis wants them so
TIMES = st.datetimes(FIRST, LAST, timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]))
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


def stored(write):
    """Return the rows of a fresh table as they lie in the file, after `write`."""
    engine = create_engine("sqlite://")
    TABLE.create(engine)
    with Session(engine) as session:
        write(session)
        return session.connection().exec_driver_sql("SELECT * FROM webhooks_delivery ORDER BY seq").all()


@given(body=WORDS, kind=WORDS, created=TIMES, due=st.none() | TIMES, settled=st.none() | TIMES, attempts=WORDS)
def test_rows_and_changes_are_stored_as_one_by_one(body, kind, created, due, settled, attempts):
    rows = [new_row(f"whk_{n}", "evt_1", kind, body, created) | {"seq": n, "settled_at": None} for n in (1, 2, 3)]
    new = {"state": "retrying", "tries": 2, "attempts": attempts, "due_at": due, "settled_at": settled}

    def together(session):
        assert bulk.add(session, rows[:2]) == 2
        assert bulk.add(session, rows) == 1, "but those that are there"
        bulk.change(session, [{"at": 2} | {f"new_{name}": value for name, value in new.items()}])

    def one_by_one(session):
        for row in rows:
            session.connection().execute(insert(TABLE), row)
        session.connection().execute(update(TABLE).where(TABLE.c.seq == 2).values(new))

    assert stored(together) == stored(one_by_one)


def test_packed_rows_come_in_their_order():
    engine = create_engine("sqlite://")
    TABLE.create(engine)
    with Session(engine) as session:
        rows = [new_row("whk_1", f"evt_{n}", "x", f"b{n}", datetime.now(UTC)) | {"seq": n} for n in (7, 3, 12, 5)]
        bulk.add(session, rows)
        statement = select(TABLE.c.seq, TABLE.c.body).where(TABLE.c.seq > 3).order_by(TABLE.c.seq).limit(2)
        assert [tuple(row) for row in bulk.unpacked(session, bulk.packed(statement, "sqlite"), {})] == [
            (5, "b5"),
            (7, "b7"),
        ]
