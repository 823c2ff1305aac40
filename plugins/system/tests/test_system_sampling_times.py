"""The grid never drifts, and a wall clock that is set anew moves it once."""

from datetime import UTC, datetime, timedelta

import pytest
from cloudos_system.series.sampling_schedule import SamplingSchedule

START = datetime(2026, 3, 1, 12, 0, 3, 400_000, tzinfo=UTC)


class Clocks:
    """Two clocks: one never goes back, the other can be set."""

    def __init__(self):
        self.monotonic, self.offset = 5000.0, timedelta()

    @property
    def wall(self):
        return START + timedelta(seconds=self.monotonic - 5000.0) + self.offset

    def due(self, grid):
        return grid.due(self.monotonic, self.wall)


def run(grid, clocks, rounds, *, work=0.0, early=0.0):
    """Wait for deadlines as the sampler does; return the stamps."""
    stamps = []
    for _ in range(rounds):
        clocks.monotonic = clocks.due(grid) - early
        stamps.append(grid.stamp(clocks.wall))
        clocks.monotonic += work
    return stamps


def seconds(stamps):
    return [stamp.timestamp() for stamp in stamps]


def test_readings_lie_on_whole_tens_of_seconds():
    stamps = run(SamplingSchedule(10), Clocks(), 50, work=0.3)
    assert stamps[0] == datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)
    assert seconds(stamps) == [stamps[0].timestamp() + 10 * n for n in range(50)]


def test_ten_thousand_late_rounds_do_not_add_up():
    grid, clocks = SamplingSchedule(10), Clocks()
    run(grid, clocks, 10_000, work=0.9)
    assert clocks.due(grid) == pytest.approx(5000 + 6.6 + 10 * 10_000, abs=1e-3)


def test_a_round_that_takes_too_long_leaves_deadlines_out_and_does_not_catch_up():
    grid, clocks = SamplingSchedule(10), Clocks()
    run(grid, clocks, 1)
    clocks.monotonic += 37
    stamps = run(grid, clocks, 2)
    assert [stamp.second for stamp in stamps] == [50, 0]


def test_a_timer_that_wakes_a_little_early_does_not_sample_twice():
    stamps = run(SamplingSchedule(10), Clocks(), 100, early=0.0004)
    assert len(set(stamps)) == 100
    assert seconds(stamps) == [stamps[0].timestamp() + 10 * n for n in range(100)]


def test_a_clock_set_forward_or_back_moves_the_grid_once():
    for jump in (timedelta(hours=1), timedelta(days=-400), timedelta(seconds=-7), timedelta(seconds=4.6)):
        grid, clocks = SamplingSchedule(10), Clocks()
        run(grid, clocks, 3)
        before = clocks.monotonic
        clocks.offset = jump
        first = run(grid, clocks, 1)[0]
        assert 5 <= clocks.monotonic - before <= 15, "a reading is neither doubled nor long in coming"
        following = run(grid, clocks, 5)
        assert seconds(following) == [first.timestamp() + 10 * n for n in range(1, 6)]
        assert first.timestamp() % 10 == 0


def test_a_reading_that_is_taken_late_tells_when_it_was_taken():
    grid, clocks = SamplingSchedule(10), Clocks()
    clocks.monotonic = clocks.due(grid) + 3
    assert grid.stamp(clocks.wall) == clocks.wall
