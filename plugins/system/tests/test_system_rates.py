"""Counters become rates; what wraps, is reset or replaced is no spike."""

import asyncio
import socket
from collections import namedtuple

from cloudos_sdk.capabilities import MetricSource
from cloudos_system.machine.rates import Counter, CounterRates


def test_a_rate_needs_two_readings():
    rates = CounterRates()
    assert rates.take(100, {"eth0": Counter(5_000)}) == {}
    assert rates.take(110, {"eth0": Counter(6_000), "eth1": Counter(10**9)}) == {"eth0": 100}
    assert rates.take(115, {"eth0": Counter(6_000), "eth1": Counter(10**9)}) == {"eth0": 0, "eth1": 0}


def test_a_counter_that_wraps_or_is_reset_has_no_rate_for_one_reading():
    rates = CounterRates()
    rates.take(0, {"a": Counter(2**32 - 10)})
    assert rates.take(10, {"a": Counter(90)}) == {}
    assert rates.take(20, {"a": Counter(190)}) == {"a": 10}


def test_an_interface_made_anew_under_the_same_name_has_no_rate_for_one_reading():
    rates = CounterRates()
    rates.take(0, {"wg0": Counter(1_000, identity=7)})
    assert rates.take(10, {"wg0": Counter(10**9, identity=8)}) == {}
    assert rates.take(20, {"wg0": Counter(10**9 + 50, identity=8)}) == {"wg0": 5}


def test_a_rate_that_nothing_can_reach_is_left_out():
    rates = CounterRates()
    rates.take(0, {"a": Counter(0, limit=1e6)})
    assert rates.take(10, {"a": Counter(1e9, limit=1e6)}) == {}
    assert rates.take(20, {"a": Counter(1e9 + 5e6, limit=1e6)}) == {"a": 5e5}


def test_two_readings_at_once_are_not_compared():
    rates = CounterRates()
    rates.take(0, {"a": Counter(0)})
    assert rates.take(0.01, {"a": Counter(1000)}) == {}
    assert rates.take(0.5, {"a": Counter(1000)}) == {"a": 2000}, "with the first one, not with the one just before"


async def test_real_traffic_is_measured(system):
    node = await system()
    source = node.host.ctx("system").use(MetricSource)
    await node.first_tick()
    await asyncio.sleep(1.1)
    await source.sample()  # the base of the next one
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.to_thread(send_over_loopback, 8_000_000)
    await asyncio.sleep(1.1)
    found = {(s.name, s.labels): s.value for s in await source.sample()}
    moved = found["system.network.tx_bytes_per_sec", (("interface", "lo"),)] * (loop.time() - begun)
    assert moved > 7_500_000


def send_over_loopback(count):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        with receiver:
            left = count
            while left > 0:
                sender.sendall(b"x" * 50_000)
                got = 0
                while got < 50_000:
                    got += len(receiver.recv(50_000))
                left -= 50_000


async def test_a_busy_core_shows(system):
    node = await system()
    source = node.host.ctx("system").use(MetricSource)
    await node.first_tick()
    await asyncio.sleep(1.1)
    await source.sample()
    await asyncio.to_thread(burn, 1.2)
    found = {(s.name, s.labels): s.value for s in await source.sample()}
    cores = [value for (name, _), value in found.items() if name == "system.cpu.core_usage_percent"]
    assert 0 < found["system.cpu.usage_percent", ()] <= 100
    assert max(cores) > 25 and all(0 <= value <= 100 for value in cores)


def burn(seconds):
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def test_a_core_that_did_nothing_never_counts_back(monkeypatch):
    from cloudos_system.machine import psutil_reader

    kinds = namedtuple("Times", ["user", "nice", "system", "idle", "iowait", "softirq", "steal"])
    counted = set()
    for hundredths in range(3_000):
        idle = round(7_900 + hundredths / 100, 2)
        times = kinds(4512.13, 0.37, 338.91, idle, 12.07, 9.63, 4.41)
        monkeypatch.setattr("psutil.cpu_times", lambda percpu, times=times: [times])
        counted.add(psutil_reader.cpu_times()[0].busy)
    assert len(counted) == 1
