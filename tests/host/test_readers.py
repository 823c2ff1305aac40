"""Readers of events: each gets those that it asked for, once, and holds up nobody with the others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType

import pytest
from cloudos_sdk import Event, Manifest, hookimpl


@dataclass(frozen=True, kw_only=True)
class Common(Event, type="finder.common", audience="*"):
    """What happens all the time."""


@dataclass(frozen=True, kw_only=True)
class Rare(Event, type="finder.rare", audience="*"):
    """What the reader waits for."""

    number: int


@pytest.fixture
def finder():
    module = ModuleType("finder")
    module.manifest = Manifest(title="Finder", emits=(Common, Rare))
    module.seen = []

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        async def read(envelope):
            module.seen.append(envelope.data["number"])

        ctx.events.subscribe(read, Rare, name="rare")
        yield

    module.cloudos_lifespan = cloudos_lifespan
    return module


async def emit(host, *events):
    ctx = host.ctx("finder")
    await ctx.db.write(lambda session: [ctx.events.emit(session, event) for event in events])


async def seen(module, numbers):
    for _ in range(200):
        if module.seen == numbers:
            break
        await asyncio.sleep(0.02)
    assert module.seen == numbers


async def test_what_a_reader_asked_for_is_found_among_many_others_and_not_told_again(cloudos, finder):
    host = await cloudos(finder)
    others = [Common(resource="x")] * 450
    await emit(host, *others, Rare(resource="x", number=1), *others, Rare(resource="x", number=2))
    await seen(finder, [1, 2])
    await emit(host, *others)
    await host.restart()
    await emit(host, Rare(resource="x", number=3))
    await seen(finder, [1, 2, 3])


async def test_more_than_is_read_at_once_comes_in_order(cloudos, finder):
    host = await cloudos(finder)
    await emit(host, *(Rare(resource="x", number=number) for number in range(450)))
    await seen(finder, list(range(450)))


async def test_events_that_a_reader_has_no_use_for_are_pruned(cloudos, finder):
    host = await cloudos(finder)
    await emit(host, *[Common(resource="x")] * 5)
    newest = await host.host.events.last()
    for _ in range(200):
        if host.host.events.reached.get("finder:rare") == newest:
            break
        await asyncio.sleep(0.02)
    await host.clock.advance(1)
    assert await host.host.events.prune(host.clock.now(), ["finder"]) == newest - 1, "all but the newest"
