"""The parts that judge what the engine says: signals, samples, layers, log lines, streams."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from cloudos_apps.engine.log_lines import LONGEST, MOST_BYTES, LineCutter, newest, parse_line
from cloudos_apps.engine.pull_progress import Layers
from cloudos_apps.engine.stop_signals import StopSignals, signal_number
from cloudos_apps.engine.threaded_stream import ThreadedStream
from cloudos_apps.monitoring.stats import cpu_percent, memory


@pytest.mark.parametrize(
    ("stop_signal", "sent", "asked"),
    [
        ("SIGTERM", ["15"], True),
        ("SIGTERM", ["15", "9"], True),
        ("SIGTERM", ["9"], False),
        ("SIGTERM", [], False),
        ("SIGTERM", ["1"], False),
        ("SIGQUIT", ["3"], True),
        ("SIGQUIT", ["15"], False),
        ("3", ["3"], True),
    ],
)
async def test_a_container_was_asked_to_stop_where_it_was_sent_its_stop_signal(stop_signal, sent, asked):
    async def of_container(container):
        return stop_signal

    signals = StopSignals(of_container)
    for number in sent:
        signals.note("one", number)
    signals.note("another", "15")
    assert await signals.take("one")() is asked
    assert await signals.take("one")() is False


def test_signals_are_known_by_name_and_number():
    names = ("SIGTERM", "TERM", "15", "quit", "SIGRTMIN+3", "RTMAX-1", "nonsense")
    assert [signal_number(name) for name in names] == [15, 15, 15, 3, 37, 63, 15]


def sample(used, passed, cores=2):
    return {"cpu_stats": {"cpu_usage": {"total_usage": used}, "system_cpu_usage": passed, "online_cpus": cores}}


def test_the_share_is_that_of_one_core():
    assert cpu_percent(sample(0, 0), sample(500, 2000)) == 50.0
    assert cpu_percent(sample(0, 0), sample(2000, 2000)) == 200.0
    assert cpu_percent(sample(5, 7), sample(5, 7)) == 0.0
    assert cpu_percent(sample(900, 0), sample(5, 2000)) == 0.0  # it was started anew


def test_memory_leaves_out_what_the_kernel_can_take_back():
    assert memory({"usage": 100, "stats": {"inactive_file": 30}}) == 70
    assert memory({"usage": 100, "stats": {"total_inactive_file": 40, "inactive_file": 30}}) == 60
    assert memory({}) == 0


def test_a_pull_never_goes_backwards():
    layers = Layers("web:1.0")
    assert layers.progress()[0] == 0.0
    lines = [
        {"status": "Pulling from web", "id": "1.0"},
        {"status": "Pulling fs layer", "id": "a"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 50, "total": 100}},
        {"status": "Pulling fs layer", "id": "b"},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 1, "total": 900}},
        {"status": "Download complete", "id": "a"},
        {"status": "Extracting", "id": "a", "progressDetail": {"current": 1, "total": 100}},
        {"status": "Pull complete", "id": "a"},
        {"status": "Pull complete", "id": "b"},
        {"status": "Status: Downloaded newer image"},
    ]
    reached = []
    for line in lines:
        layers.note(line)
        reached.append(layers.progress()[0])
    assert reached == sorted(reached) and reached[-1] == 1.0
    _, message, detail = layers.progress()
    assert message == "Pulling web:1.0: 2 of 2 layers"
    assert detail["layers"]["a"] == {"status": "Pull complete", "done": 100, "total": 100}


def test_a_line_is_split_into_its_time_and_text():
    line = parse_line("web", b"2025-01-15T10:30:00.000000001Z caf\xc3\xa9 \xff and more\r")
    assert (line.service, line.timestamp) == ("web", "2025-01-15T10:30:00.000000001Z")
    assert line.message == "caf\u00e9 \ufffd and more"


class Endless:
    """Numbers without end, until it is closed."""

    def __init__(self):
        self.closed = threading.Event()
        self.made = 0

    def __iter__(self):
        while not self.closed.is_set():
            self.made += 1
            yield self.made

    def close(self):
        self.closed.set()


def no_thread(name, seconds=3.0):
    end = time.monotonic() + seconds
    while any(thread.name.startswith(name) for thread in threading.enumerate()):
        assert time.monotonic() < end, f"the thread {name} goes on"
        time.sleep(0.02)


async def test_a_slow_reader_slows_the_stream_and_closing_ends_its_thread():
    source = Endless()
    stream = ThreadedStream(lambda: source, lambda error: error, "test-endless")
    seen = []
    async for number in stream:
        seen.append(number)
        if len(seen) == 3:
            break
    await asyncio.sleep(0.1)
    assert seen == [1, 2, 3]
    assert source.made < 1000
    stream.close()
    await asyncio.to_thread(no_thread, "test-endless")


async def test_a_stream_hands_its_error_to_the_reader():
    def broken():
        yield 1
        raise OSError("gone")

    stream = ThreadedStream(broken, lambda error: LookupError(str(error)), "test-broken")
    with pytest.raises(LookupError, match="gone"):
        [number async for number in stream]
    await asyncio.to_thread(no_thread, "test-broken")


async def test_a_host_that_stops_leaves_no_thread_of_the_plugin(node):
    await node.install()
    await node.host.stop()
    await asyncio.to_thread(no_thread, "docker-")


def test_a_line_is_no_two_lines_and_no_other_line():
    forged = b"2025-01-15T10:30:00Z begun\r2030-01-01T00:00:00Z root logged in\x1b[2K"
    forged += b"\x1b[31mred\x1b[0m \xe2\x80\xae\x07 \xc2\x85 end"
    cutter = LineCutter()
    ((line, left_out),) = cutter.feed(forged + b"\n")
    found = parse_line("web", line, left_out)
    assert found.timestamp == "2025-01-15T10:30:00Z"
    assert found.message == r"begun\x0d2030-01-01T00:00:00Z root logged in\x1b[2Kred \u202e\x07 \x85 end"


def test_a_line_without_end_takes_no_more_room_than_it_is_shown():
    stamp = b"2025-01-15T10:30:00.000000001Z "
    cutter, begun = LineCutter(), time.process_time()
    assert not any(list(cutter.feed(stamp + b"x" * 16_384)) for _ in range(1500))
    assert time.process_time() - begun < 3
    ((line, left_out),) = cutter.feed(stamp + b"y\n")
    assert len(line) == LONGEST and left_out == len(stamp) + 1500 * 16_384 + 1 - LONGEST
    message = parse_line("web", line, left_out).message
    assert message.endswith(f"… ({left_out} more bytes are left out)") and "2025" not in message
    assert [list(cutter.feed(b"one\ntwo\nth")), list(cutter.feed(b"ree\n"))] == [
        [(b"one", 0), (b"two", 0)],
        [(b"three", 0)],
    ]


def test_of_a_log_the_newest_lines_are_kept_as_many_bytes_as_fit():
    lines = [f"{number} ".encode() + b"x" * 10_000 + b"\n" for number in range(1000)]
    found = newest(iter(lines), 900)
    assert found[-1][0].startswith(b"999 ") and sum(len(line) for line, _ in found) <= MOST_BYTES
    assert [line for line, _ in newest(iter([b"a\nb", b"c\nd"]), 2)] == [b"bc", b"d"]
