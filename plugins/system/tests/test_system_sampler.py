"""The sampler asks every source and is delayed or spoilt by none."""

import asyncio
import contextlib
import itertools
import math

import pytest
from cloudos_sdk.capabilities import Metric, Metrics, MetricSource, Sample
from cloudos_sdk.testing.contracts import check_metric_source, check_metrics
from system_lab import Lab


@contextlib.asynccontextmanager
async def running_clock(clock):
    """Let the time of a host go on."""

    async def go_on():
        while True:
            await clock.advance(1)

    going = asyncio.create_task(go_on())
    try:
        yield
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)


def values(tick):
    return {(sample.name, *(value for _, value in sample.labels)): sample.value for sample in tick.samples}


async def test_the_providers_keep_their_contracts(system):
    node = await system()
    await check_metric_source(node.host.ctx("system").use(MetricSource))
    async with running_clock(node.host.clock):
        await check_metrics(node.host.ctx("system").use(Metrics))


async def test_the_machine_is_measured(system):
    node = await system()
    await node.first_tick()
    await asyncio.sleep(0.3)  # the kernel counts in hundredths of a second: a share needs some between two readings
    found = values(await node.tick())
    for name in ("cpu.usage_percent", "memory.usage_percent", "load.1m", "load.15m", "swap.used_mb", "uptime_seconds"):
        assert (f"system.{name}",) in found
    assert ("system.cpu.core_usage_percent", "0") in found
    assert ("system.network.rx_bytes_per_sec", "lo") in found
    for disk in await node.get("/api/system/disks"):
        assert found["system.disk.usage_percent", disk["mount_point"]] == pytest.approx(disk["usage_percent"], abs=1)
    for disk in await node.get("/api/system/disk/health"):
        assert ("system.disk.write_bytes_per_sec", disk["device"].removeprefix("/dev/")) in found


async def test_a_tick_comes_every_ten_seconds_at_whole_tens(system):
    node = await system()
    times = [(await node.tick()).time.timestamp() for _ in range(5)]
    assert [after - before for before, after in itertools.pairwise(times)] == [10] * 4
    assert times[0] % 10 == 0


async def test_series_of_other_plugins_are_sampled_and_declared(system):
    lab = Lab(a=1.5)
    node = await system(lab.plugin)
    tick = await node.tick()
    assert values(tick)["lab.level", "a"] == 1.5
    assert "lab.level" in [metric.name for metric in node.metrics.metrics()]
    assert [m.name for m in node.metrics.metrics()] == sorted({m.name for m in node.metrics.metrics()})


async def test_a_source_that_fails_is_left_out_alone_and_comes_back(system):
    lab = Lab(a=1)
    node = await system(lab.plugin)
    lab.fails = RuntimeError("no reagents")
    found = values(await node.tick())
    assert ("lab.level", "a") not in found and ("system.load.1m",) in found
    lab.fails = None
    assert values(await node.tick())["lab.level", "a"] == 1


async def test_a_source_that_hangs_is_given_up_after_five_seconds_and_not_asked_twice(system):
    lab = Lab(a=1)
    node = await system(lab.plugin)
    await node.first_tick()
    stuck = asyncio.Event()

    async def will_not_end():
        while not stuck.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await stuck.wait()

    lab.waits = will_not_end
    begun, asked = asyncio.get_running_loop().time(), lab.asked
    following = asyncio.create_task(anext(node.metrics.ticks()))
    await asyncio.sleep(0)
    await node.host.clock.advance(10)
    found = values(await asyncio.wait_for(following, 8))
    assert asyncio.get_running_loop().time() - begun < 6.5
    assert ("lab.level", "a") not in found and ("system.load.1m",) in found
    await node.tick(2)
    assert lab.asked == asked + 1, "one question at a time"
    stuck.set()
    lab.waits = None
    await asyncio.sleep(0.05)
    assert values(await node.tick())["lab.level", "a"] == 1


class Liar:
    def metrics(self):
        return [Metric("lie.told", "lies", "Lies.", ("to",))]

    async def sample(self):
        good = Sample("lie.told", 1.0, (("to", "you"),))
        return [
            good,
            Sample("lie.told", 2.0, (("to", "you"),)),
            Sample("lie.told", math.nan, (("to", "me"),)),
            Sample("lie.told", math.inf, (("to", "her"),)),
            Sample("lie.told", 1.0),
            Sample("lie.other", 1.0, (("to", "you"),)),
        ]


async def test_samples_that_are_not_as_declared_are_dropped(system):
    from cloudos_sdk.testing.fakes import providing

    node = await system(providing(MetricSource, Liar()))
    tick = await node.tick()
    assert {key: value for key, value in values(tick).items() if key[0].startswith("lie")} == {("lie.told", "you"): 1.0}


async def test_a_slow_reader_misses_ticks_and_delays_nobody(system):
    node = await system()
    slow = node.metrics.ticks()
    first = asyncio.create_task(anext(slow))
    await node.tick()
    await first
    last = await node.tick(4)
    assert (await anext(slow)) is last


async def test_readers_end_when_the_node_stops(system):
    node = await system()
    await node.first_tick()
    ticks = node.metrics.ticks()

    async def read():
        return [tick async for tick in ticks]

    reading = asyncio.create_task(read())
    await node.tick()
    await node.host.stop()
    assert len(await asyncio.wait_for(reading, 2)) == 1


async def test_health_tells_when_nothing_is_measured_any_more(system):
    from cloudos_system.plugin import cloudos_health
    from cloudos_system.series.sampler import Sampler

    node = await system()
    await node.tick()
    assert (await cloudos_health(node.host.ctx("system"))).ok
    sampler = node.host.ctx("system").use(Sampler)

    async def stuck():
        await asyncio.Event().wait()

    sampler._ask_all = stuck  # as if a disk did not answer any more
    await node.host.clock.advance(120)
    health = await cloudos_health(node.host.ctx("system"))
    assert not health.ok and "Nothing was measured for" in health.detail


async def test_temperatures_are_measured_where_the_machine_has_sensors(system, monkeypatch):
    import psutil
    from psutil._ntuples import shwtemp

    found = {"coretemp": [shwtemp("Core 0", 51.0, 80, 100), shwtemp("", 48.5, None, None)], "acpi": []}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: found, raising=False)
    node = await system()
    measured = values(await node.tick())
    assert measured["system.temperature_celsius", "coretemp Core 0"] == 51.0
    assert measured["system.temperature_celsius", "coretemp 2"] == 48.5
