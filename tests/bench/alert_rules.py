"""500 alert rules evaluated on one tick: how long it takes, and how long it keeps the event loop from others."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloudos_alerts.evaluation.engine import RuleEvaluator
from cloudos_sdk.capabilities import Authenticator
from cloudos_sdk.context import enter_context
from cloudos_sdk.testing.fakes import FakeAuthenticator, providing, sample
from cloudos_sdk.testing.fixtures import FakeClock

from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.plugins.discovery import discover, given
from tests.bench.load import report

RULES, APPS, ROUNDS = 500, 20, 15
METRICS = ("system.cpu.usage_percent", "system.memory.usage_percent", "app.cpu.usage_percent", "app.restarts")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def main():
    """Print the figures for a steady tick, and for the worst: one on which every series fires."""
    with tempfile.TemporaryDirectory() as data:
        base = HostSettings(data_dir=Path(data), required=())
        alerts = next(found for found in discover() if found.id == "alerts")
        sign_in = given("fake_sign_in", providing(Authenticator, FakeAuthenticator()))
        config = Config(base, {"alerts": {"default_rules": False}}, "the benchmark")
        host = Host(config, found=[alerts, sign_in], clock=FakeClock())
        await host.boot()
        try:
            ctx = await _running(host)
            enter_context(ctx)
            await _fill(host)
            engine = ctx.use(RuleEvaluator)
            steady = [await _measured(engine, tick, 5.0) for tick in range(1, ROUNDS + 1)]
            fired = await _measured(engine, ROUNDS + 1, 95.0)
        finally:
            await host.shutdown()
    series = RULES // 2 * (1 + APPS)
    report(
        f"{RULES} rules, {series} series: ms a tick",
        _median(steady, 0),
        "< 50",
        "a steady tick",
        f"all fire {fired[0]:.0f} ms",
    )
    report(
        "longest work of the loop in one go, ms",
        _median(steady, 1),
        "<= 10",
        "a steady tick",
        f"all fire {fired[1]:.1f} ms",
    )


async def _running(host):
    record = next(record for record in host.records if record.id == "alerts")
    until = time.monotonic() + 20
    while record.state.value != "running" and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return record.context


async def _fill(host):
    """Add the rules by the API, half of them on the machine and half on every app."""
    client = host.app.test_client()
    for number in range(RULES):
        body = {
            "name": f"Rule {number}", "metric": METRICS[number % 4], "condition": "greater_than", "threshold": 90,
        }  # fmt: skip
        made = await client.post("/api/alerts/rules", json=body, headers={"Authorization": "Bearer admin"})
        assert made.status_code == 201, await made.get_data()


def _samples(value):
    apps = [sample(name, value, app=f"app-{number}") for name in METRICS[2:] for number in range(APPS)]
    return [sample(name, value) for name in METRICS[:2]] + apps


async def _measured(engine, tick, value):
    """Evaluate one tick; return its time and the most that the loop's thread worked between two turns of another task.

    The latter is CPU time: what other processes take from the machine is not the evaluation's doing.
    """
    holds, done = [0.0], asyncio.Event()

    async def watch():
        while not done.is_set():
            before = time.thread_time()
            await asyncio.sleep(0.0005)
            holds.append(time.thread_time() - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    samples, begun = _samples(value), time.perf_counter()
    await engine.evaluate(NOW + timedelta(seconds=10 * tick), samples)
    took = time.perf_counter() - begun
    done.set()
    await watching
    return took * 1000, max(holds) * 1000


def _median(rounds, place):
    return statistics.median(found[place] for found in rounds)
