"""`memory_search` over MCP among 100,000 notes; creates with embeddings queued; the queue against the bare model.

The notes are made-up words that are as frequent as Zipf has it. For the search their vectors are mixed from those of
some hundreds that are embedded for real: to embed them all would take an hour, and the search would take as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from cloudos_memory.embedding.minilm import MiniLM
from cloudos_memory.search.analytics import Analytics
from cloudos_memory.search.indexing.chunks import pieces_of, text_hash
from cloudos_memory.search.vector.codec import pack, quantise
from cloudos_memory.search.vector.filters import attributes_of
from cloudos_memory.search.vector.store import EMBEDDING, _row
from cloudos_memory.search.vector.store import StoredVectors as StoredVectors
from cloudos_sdk.capabilities import NoteStore
from sqlalchemy import insert

from tests.bench.load import key_in, program, quantile, report
from tests.bench.mcp_calls import Caller
from tests.bench.memory_host import OWNER, faster, memory_host, write_all
from tests.bench.notes_store import Prose, fill

NOTES, EMBEDDED, QUERIES, CREATED, DRAINED = 100_000, 300, 200, 1000, 100
MODEL = f"onnx/{MiniLM.model}/384"


async def main():
    """Print the figures."""
    with tempfile.TemporaryDirectory() as data:
        await queue(data)
    with tempfile.TemporaryDirectory() as scratch:
        data, key = Path(scratch) / "node", Path(scratch) / "key"
        prose = Prose(1)
        async with memory_host(data, backend="off"):
            pass  # it makes the tables
        fill(data / "cloudos.db", prose, 0, NOTES)
        async with memory_host(data, backend="off") as ctx:
            await vectors(ctx)
        with program("memory_node", data, key) as node:
            caller = Caller(node, key_in(key))
            rest(psutil.Process(node.process.pid))
            for name, wanted in (
                ("all notes", {"namespace": "*"}),
                ("one namespace and a tag", {"namespace": "work", "tags": ["topic"]}),
            ):
                searches(caller, prose, name, wanted)


def whole_answer(wire):
    """Read one answer, of a told length or in chunks; return it with its head."""
    answer = b""
    while not is_whole(answer):
        received = wire.recv(2**20)
        assert received, f"the server hung up after {answer[:300]}"
        answer += received
    return answer


def is_whole(answer):
    """Tell whether these are all the bytes of an answer."""
    head, found, body = answer.partition(b"\r\n\r\n")
    _, told, length = head.lower().partition(b"content-length:")
    return bool(found) and (len(body) >= int(length.split()[0]) if told else body.endswith(b"0\r\n\r\n"))


def rest(process, seconds=2):
    """Wait until a node rests: its vectors are loaded and its notes were looked through."""
    idle = 0
    while idle < 3:
        before = sum(process.cpu_times()[:2])
        time.sleep(seconds)
        idle = idle + 1 if sum(process.cpu_times()[:2]) - before < 0.1 * seconds else 0


def searches(caller, prose, name, wanted):
    """Search by six words each time, never the same twice; measure from the request's bytes to the answer's last."""
    process = psutil.Process(caller.server.process.pid)
    taken, by_meaning, used = [], 0, sum(process.cpu_times()[:2])
    with contextlib.closing(caller.socket()) as wire:
        for number in range(QUERIES):
            arguments = {"query": " ".join(prose.words(6)), "limit": 10, **wanted}
            call = {"name": "memory_search", "arguments": arguments}
            request = caller.request({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
            start = time.perf_counter()
            wire.sendall(request)
            body = whole_answer(wire)
            taken.append((time.perf_counter() - start) * 1000)
            assert body.startswith(b"HTTP/1.1 200") and b'"isError":true' not in body, body[:300]
            by_meaning += b'\\"meaning\\"]' in body or b'"meaning"]' in body
    used = (sum(process.cpu_times()[:2]) - used) / QUERIES * 1000
    for share, target in ((0.5, 15), (0.99, 60)):
        got = quantile(taken, share)
        report(f"search of {name}, p{share * 100:.0f}", got / target, "<= 1", f"{got:.1f} ms", f"{target} ms wanted")
    print(f"  with hits by meaning: {by_meaning / QUERIES:.0%}; processor time of one: {used:.1f} ms", flush=True)


async def queue(data):
    """Create notes while they are being embedded, and let the queue drain against the model alone."""
    prose = Prose(2)
    async with memory_host(data) as ctx:
        model = await faster(ctx)
        store, analytics = ctx.use(NoteStore), ctx.use(Analytics)
        drafts = [prose.draft(number) for number in range(DRAINED)]
        texts = [piece for draft in drafts for piece in pieces_of(draft.title, draft.content)]
        await model.embed(texts[:8])
        start = time.perf_counter()
        for at in range(0, len(texts), 64):
            await model.embed(texts[at : at + 64])
        bare = DRAINED / (time.perf_counter() - start)
        await write_all(store, [prose.draft(0)])  # the node loads its model
        await embedded(analytics, 1)
        start = time.perf_counter()
        await write_all(store, drafts)
        await embedded(analytics, DRAINED + 1)
        drained = DRAINED / (time.perf_counter() - start)
        report("queue drained, notes a second", drained / bare, ">= 0.8", f"{drained:.1f}", f"{bare:.1f}")
        start = time.perf_counter()
        await write_all(store, [prose.draft(number) for number in range(DRAINED, DRAINED + CREATED)])
        rate = CREATED / (time.perf_counter() - start)
        report("creates with embeddings queued, a second", rate / 500, ">= 1", f"{rate:.0f}", "500 wanted")
        await model.close()


async def embedded(analytics, count):
    """Wait until so many notes have vectors."""
    while (await analytics.embed_stats(OWNER))["total_with_embedding"] < count:
        await asyncio.sleep(0.1)


async def vectors(ctx):
    """Store a vector for each note: of some the real one, of the others a mixture of two."""
    store, model, rng = ctx.use(NoteStore), await faster(ctx), np.random.default_rng(1)
    after, seeds = "", None
    while notes := await store.scan(after, 500):
        after = notes[-1].id
        if seeds is None:
            seeds = await model.embed([pieces_of(note.title, note.content)[0] for note in notes[:EMBEDDED]])
        count = len(notes)
        rows = 0.7 * seeds[rng.integers(len(seeds), size=count)] + 0.4 * seeds[rng.integers(len(seeds), size=count)]
        rows += rng.normal(size=rows.shape).astype(np.float32) * 0.02
        scales, codes = quantise((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
        packed = [
            _row(
                StoredVectors(
                    note.id, attributes_of(note), MODEL, 384, text_hash(note.title, note.content), 1,
                    pack(scales[at : at + 1], codes[at : at + 1]),
                )
            )
            for at, note in enumerate(notes)
        ]  # fmt: skip
        await ctx.db.write(lambda s, packed=packed: s.connection().execute(insert(EMBEDDING), packed))
    await model.close()
