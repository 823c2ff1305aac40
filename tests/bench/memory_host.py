"""A host with notes and memory in this process, for benchmarks that ask their capabilities directly."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from cloudos_memory.embedding.minilm import MiniLM
from cloudos_sdk.capabilities import Authenticator
from cloudos_sdk.testing.fakes import FakeAuthenticator, providing

from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.plugins.discovery import discover, given

OWNER = "usr_bench"


@contextlib.asynccontextmanager
async def memory_host(data, **embedding):
    """Run notes and memory on a data folder; yield the context of memory."""
    found = [each for each in discover() if each.id in ("notes", "memory")]
    found.append(given("fake_sign_in", providing(Authenticator, FakeAuthenticator())))
    settings = {"memory": {"embedding": {"query_milliseconds": 5000, **embedding}}}
    host = Host(Config(HostSettings(data_dir=Path(data), required=()), settings, "the benchmark"), found=found)
    await host.boot()
    try:
        yield next(record.context for record in host.records if record.id == "memory")
    finally:
        await host.shutdown()


async def faster(ctx):
    """Return the model in the form that a node has from its first minute on; the node of `ctx` has it too, from now."""
    model = MiniLM(ctx.data_dir)
    await model.quantise()
    return model


async def write_all(store, drafts, at_once=32):
    """Write notes, some waiting at a time; return them in the order of the drafts."""
    written, left = [None] * len(drafts), iter(enumerate(drafts))

    async def work():
        for at, draft in left:
            written[at] = await store.create(OWNER, draft)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return written
