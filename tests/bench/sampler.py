"""The sampler's CPU with 60 series, its writes included, in percent of one core, on the machine's real counters."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import structlog
from cloudos_sdk.capabilities import Authenticator, Metric, Metrics, MetricSource, Sample
from cloudos_sdk.testing.fakes import FakeAuthenticator, providing

SERIES, ROUNDS, PERIOD = 60, 60, 10.0


class Rest:
    """Series that bring the machine's own to sixty, with values that change."""

    def __init__(self):
        self.count, self.round = 0, 0

    def metrics(self):
        return [Metric("bench.level", "units", "A level.", ("number",))]

    async def sample(self):
        self.round += 1
        return [Sample("bench.level", self.round * 1.37 + n, (("number", str(n)),)) for n in range(self.count)]


class Clock:
    """Two clocks that go on by a period with each sleep of the sampler, as fast as the bench allows."""

    def __init__(self):
        self.passed, self.turn = 0.0, asyncio.Event()
        self.begun = time.time()

    def now(self):
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self.begun + self.passed, UTC)

    def monotonic(self):
        return self.passed

    async def sleep(self, seconds):
        if seconds > 2 * PERIOD or seconds <= 0:
            await asyncio.sleep(3600 if seconds > 0 else 0)
        await self.turn.wait()
        self.turn.clear()
        self.passed += seconds


async def main():
    """Print the share of a core."""
    from cloudos_host.config import Config, HostSettings
    from cloudos_host.host import Host
    from cloudos_host.plugins.discovery import discover, given

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    rest = Rest()
    found = [plugin for plugin in discover() if plugin.id == "system"]
    found += [
        given("rest", providing(MetricSource, rest)),
        given("sign_in", providing(Authenticator, FakeAuthenticator())),
    ]
    with tempfile.TemporaryDirectory() as data:
        clock = Clock()
        host = Host(Config(HostSettings(data_dir=Path(data), required=()), {}, "bench"), found=found, clock=clock)
        await host.boot()
        metrics = host.capabilities.find(Metrics)
        for _ in range(8):
            await tick(clock, metrics)
        rest.count = max(0, SERIES - len(metrics.latest().samples))
        await tick(clock, metrics)
        series = len(metrics.latest().samples)
        before = time.process_time()
        for _ in range(ROUNDS):
            await tick(clock, metrics)
        used = (time.process_time() - before) / ROUNDS
        await host.shutdown()
    share = used / PERIOD * 100
    print(f"{f'sampling {series} series every {PERIOD:.0f} s, percent of one core':58} {share:6.2f}  "
          f"(target < 1; {used * 1000:.1f} ms of CPU a round, over {ROUNDS} rounds)", flush=True)  # fmt: skip


async def tick(clock, metrics):
    """Let one period go by and wait for its reading."""
    following = asyncio.create_task(anext(metrics.ticks()))
    await asyncio.sleep(0)
    clock.turn.set()
    await asyncio.sleep(0.25)  # so that there are rates; the time that is slept costs nothing
    await asyncio.wait_for(following, 10)
