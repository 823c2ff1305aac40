"""Hours that are over are read once, and an answer is what the rows say, whatever was asked before."""

from cloudos_sdk.capabilities import Metrics
from cloudos_system.schemas import HistoryQuery
from cloudos_system.series.history import MetricHistory
from cloudos_system.series.hour_cache import HourCache, in_columns
from cloudos_system.series.minute_buffer import MinuteBuffer
from cloudos_system.series.store import HOUR, MINUTE, Bucket, Minute
from cloudos_system.series.time_buckets import TimeWindow
from hypothesis import given
from hypothesis import strategies as st
from system_lab import Lab

BEGIN = 1_700_000_400 - 1_700_000_400 % HOUR
KEY = ("lab.level", (("tube", "a"),))


class Rows:
    """Rows of minutes, and how many were read."""

    def __init__(self):
        self.minutes = {}
        self.read = 0

    def add(self, series, place, value):
        self.minutes[series, BEGIN + place * MINUTE] = value

    def load(self, part, ids):
        found = [
            (series, ts, value - 1, value + 1, value)
            for (series, ts), value in sorted(self.minutes.items())
            if series in ids and part.start <= ts < part.end
        ]
        self.read += len(found)
        return found


@given(
    minutes=st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.integers(0, 300), st.floats(0, 99)), max_size=60),
    questions=st.lists(
        st.tuples(st.sets(st.sampled_from([1, 2, 3]), min_size=1), st.integers(0, 200), st.integers(1, 200)),
        min_size=1,
        max_size=6,
    ),
)
def test_an_answer_is_what_the_rows_say(minutes, questions):
    rows, hours = Rows(), HourCache()
    for series, place, value in minutes:
        rows.add(series, place, value)
    for ids, place, count in questions:
        part = TimeWindow(MINUTE, MINUTE, BEGIN + place * MINUTE, count)
        there = rows.load(part, ids)
        expected = {series: in_columns(there, series, part) for series in ids}
        assert hours.read(rows.load, sorted(ids), part, part.end - MINUTE) == expected


def test_an_hour_that_is_over_is_read_once_and_one_that_is_not_each_time():
    rows, hours = Rows(), HourCache()
    for place in range(150):
        rows.add(1, place, place)
    part = TimeWindow(MINUTE, MINUTE, BEGIN, 180)
    assert hours.read(rows.load, [1], part, BEGIN + 2 * HOUR)[1][2][:150] == list(range(150))
    rows.read = 0
    rows.add(1, 150, 150)
    assert hours.read(rows.load, [1], part, BEGIN + 2 * HOUR)[1][2][:151] == list(range(151))
    assert rows.read == 31


def test_more_hours_than_are_kept_are_answered_all_the_same_and_not_kept(monkeypatch):
    monkeypatch.setattr("cloudos_system.series.hour_cache._MOST", 5)
    rows, hours = Rows(), HourCache()
    for place in range(240):
        rows.add(1, place, place)
        rows.add(2, place, -place)
    part = TimeWindow(MINUTE, MINUTE, BEGIN, 240)
    for ids in ([1, 2], [1], [1, 2], [2], [1]):
        found = hours.read(rows.load, ids, part, part.end)
        assert {id: columns[2] for id, columns in found.items()} == {
            id: [place if id == 1 else -place for place in range(240)] for id in ids
        }
        assert len(hours._kept) <= 5


async def test_a_clock_set_back_shows_in_hours_that_were_asked_for(system):
    node = await system(Lab(a=0).plugin)
    now = (await node.first_tick()).time.timestamp()
    hour = int(now - now % HOUR) - 2 * HOUR
    store = node.host.ctx("system").use(MinuteBuffer)._store
    history = node.host.ctx("system").use(MetricHistory)
    query = HistoryQuery(range="6h", metric=["lab.level"])
    metrics = node.host.ctx("system").use(Metrics).metrics()

    async def asked(moment):
        return (await history.read(query, metrics, moment)).decode()

    await store.write([Minute(hour + at * MINUTE, {KEY: Bucket(1, 1, 1, 6)}) for at in range(60)])
    assert "41.5" not in await asked(now) and "1.0" in await asked(now)
    await store.write([Minute(hour + 5 * MINUTE, {KEY: Bucket(82, 82, 82, 6)})])
    assert "41.5" in await asked(now + 1), "the mean of what both times measured"
