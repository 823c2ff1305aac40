"""The queue loses nothing and does nothing twice: over restarts, kills, a backend that is down, another model."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cloudos_memory.embedding.remote import Ollama
from cloudos_memory.plugin import cloudos_health
from cloudos_memory.search.indexing.note_events import NoteEvents
from cloudos_memory.search.indexing.worker import IndexWorker
from cloudos_memory.search.vector.store import EmbeddingStore
from cloudos_sdk.capabilities import NoteChange, NoteFilter
from components.environments import serving
from search_node import OWNER

BIN = Path(sys.executable).parent


async def test_a_note_that_changes_again_and_again_waits_once(search_node, embedding):
    node = await search_node()
    embedding.released.clear()
    note = await node.write("first words of the almanac")
    for number in range(5):
        await node.store.update(OWNER, note.id, NoteChange(content=f"almanac of the year {number}"))

    async def seen():
        return embedding.requests

    await node.until(seen)
    assert (await node.stats())["queue_size"] == 1
    embedding.released.set()
    await node.embedded()
    (hit,) = await node.search("almanac of the year 4")
    assert hit.scores["meaning"] > 0.8, "the newest text is the one that is embedded"


async def test_a_note_deleted_while_it_is_embedded_leaves_nothing(search_node, embedding):
    node = await search_node()
    embedding.released.clear()
    note = await node.write("a secret about the orangery")

    async def asked():
        return embedding.requests

    await node.until(asked)
    await node.store.delete(OWNER, note.id, for_good=True)

    async def forgotten():
        return (await node.stats())["queue_size"] == 0

    await node.until(forgotten)
    embedding.released.set()
    await node.write("another note")
    await node.embedded()
    assert (await node.stats())["total_with_embedding"] == 1


async def test_a_note_tagged_while_it_is_embedded_is_found_by_the_tag(search_node, embedding):
    node = await search_node()
    embedding.released.clear()
    note = await node.write("an inventory of the greenhouse")

    async def asked():
        return embedding.requests

    await node.until(asked)
    await node.store.update(OWNER, note.id, NoteChange(tags=("orchids",), importance=0.9))

    async def put_in_again():
        waiting = await EmbeddingStore(node.host.ctx("memory")).next(10)
        return waiting and waiting[0].round == 2

    await node.until(put_in_again)
    embedding.released.set()
    wanted = NoteFilter(owner=OWNER, tags=("orchids",), min_importance=0.8)

    async def by_meaning():
        return [hit for hit in await node.search("greenhouse inventory", wanted) if "meaning" in hit.matched]

    await node.until(by_meaning)


async def test_what_happened_to_a_note_at_once_is_followed_to_its_end(search_node, embedding):
    node = await search_node()
    kept, gone = await node.write("the guest book"), await node.write("the wine list")
    await node.embedded()
    await asyncio.gather(node.store.delete(OWNER, kept.id), node.store.delete(OWNER, gone.id))
    await asyncio.gather(node.store.restore(OWNER, kept.id), node.store.restore(OWNER, gone.id))
    await asyncio.gather(
        node.store.update(OWNER, kept.id, NoteChange(tags=("hall",))), node.store.delete(OWNER, gone.id)
    )
    tagged = NoteFilter(owner=OWNER, tags=("hall",))

    async def settled():
        found = [hit for hit in await node.search("the guest book", tagged) if "meaning" in hit.matched]
        return found and (await node.stats())["total_with_embedding"] == 1

    await node.until(settled)


async def test_what_waits_is_embedded_once_the_backend_is_back(search_node, embedding):
    node = await search_node()
    embedding.status = 503
    await node.write("the tide table of the estuary")

    async def paused():
        return node.host.ctx("memory").use(IndexWorker).trouble

    await node.until(paused)
    health = await cloudos_health(node.host.ctx("memory"))
    assert health.ok and "503" in health.detail
    asked = len(embedding.requests)
    await node.host.clock.advance(0.5)
    assert len(embedding.requests) == asked, "it backs off"
    embedding.status = 200
    await node.host.clock.advance(10)
    await node.embedded()
    assert node.host.ctx("memory").use(IndexWorker).trouble == ""


async def test_a_failure_that_nobody_foresaw_pauses_the_queue_and_searches_go_on(search_node, monkeypatch):
    async def fail(self, texts):
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(Ollama, "embed", fail)
        node = await search_node()
        await node.write("the tide table of the estuary", title="Tides")

        async def paused():
            return node.host.ctx("memory").use(IndexWorker).trouble

        await node.until(paused)
        assert await node.titles("tide table") == ["Tides"]
        await node.host.clock.advance(100)
        assert await paused()
    await node.host.clock.advance(100)
    assert (await node.embedded())["total_with_embedding"] == 1


async def test_a_text_that_the_backend_refuses_holds_nothing_up(search_node, embedding):
    node = await search_node()
    embedding.refuse = "unspeakable"
    await node.write("an unspeakable note", title="Refused")
    for number in range(5):
        await node.write(f"an ordinary note {number}")

    async def others_done():
        stats = await node.stats()
        return stats["total_with_embedding"] == 5 and stats["queue_size"] == 1

    await node.until(others_done)
    assert await node.titles("unspeakable") == ["Refused"], "words find it all the same"

    async def given_up():
        await node.host.clock.advance(35)
        return (await node.stats())["queue_size"] == 0

    await node.until(given_up)


async def test_the_queue_goes_on_where_it_was_after_a_restart(search_node, embedding):
    node = await search_node()
    embedding.status = 503
    for number in range(10):
        await node.write(f"the {number}th page of the logbook")

    async def queued():
        return (await node.stats())["queue_size"] == 10

    await node.until(queued)
    embedding.status = 200
    await node.host.restart()
    assert (await node.embedded())["total_with_embedding"] == 10


async def test_another_model_embeds_everything_anew_and_vectors_of_two_never_meet(cloudos, embedding, search_node):
    node = await search_node()
    for number in range(6):
        await node.write(f"chapter {number} of the herbal")
    await node.embedded()
    assert await node.models() == {"ollama/words/96": 96}
    embedding.dimension = 160
    await node.host.restart()
    await node.write("a note that shows that the model is another")

    async def all_anew():
        return await node.models() == {"ollama/words/160": 160}

    await node.until(all_anew)
    stats = await node.embedded()
    assert (stats["total_with_embedding"], stats["backend_dim"]) == (7, 160)
    first, *_ = await node.search("chapter 3 of the herbal")
    assert first.scores["meaning"] > 0.9


async def test_a_sweep_finds_what_was_missed_and_forgets_what_is_gone(search_node, embedding):
    node = await search_node()
    kept = await node.write("the map of the catacombs")
    await node.embedded()
    memory = node.host.ctx("memory")
    stored = EmbeddingStore(memory)
    ghost = (await stored.page("", "ollama/words/96"))[0]
    await stored.enqueue([("note_ghost", OWNER)])
    await stored.forget([kept.id])  # as if its event had been lost
    assert ghost.note_id == kept.id
    totals = await memory.use(NoteEvents).sweep()
    assert totals == {OWNER: 1}
    assert (await node.embedded())["total_with_embedding"] == 1

    async def ghost_gone():
        return (await node.stats())["queue_size"] == 0

    await node.until(ghost_gone)


async def test_reindex_embeds_every_note_of_the_caller_anew_and_no_other(search_node, embedding):
    node = await search_node()
    for number in range(3):
        await node.write(f"folio {number}")
    await node.embedded()
    asked = len(embedding.requests)
    assert (await node.host.viewer.post("/api/mcp/memory/reindex")).status_code == 403
    answer = await node.host.operator.post("/api/mcp/memory/reindex")
    assert await answer.get_json() == {"enqueued": 0, "enabled": True}
    answer = await node.host.admin.post("/api/mcp/memory/reindex")
    assert answer.status_code == 200 and await answer.get_json() == {"enqueued": 3, "enabled": True}
    await node.embedded()

    async def anew():
        return {text for request in embedding.requests[asked:] for text in request} >= {"folio 0", "folio 1", "folio 2"}

    await node.until(anew)


@pytest.mark.parametrize("times", [2])
async def test_nothing_is_lost_by_being_killed(tmp_path, embedding, times):
    environ = {
        "CLOUDOS_MEMORY__EMBEDDING": json.dumps({"backend": "ollama", "url": embedding.url, "model": "words"}),
    }
    command = [BIN / "cloudos", "serve", "--port", "0", "--data-dir", tmp_path]
    embedding.delay = 0.05
    written = 0
    for _ in range(times):
        server = serving(command, **environ)
        running = await asyncio.to_thread(server.__enter__)
        await asyncio.to_thread(running.sign_in)
        for _ in range(15):
            status, body = await asyncio.to_thread(
                running.request, "POST", "/api/notes", {"content": f"entry {written} of the ledger"}
            )
            assert status == 201, body
            written += 1
        running.process.kill()
        running.process.wait()
        with pytest.raises((AssertionError, subprocess.TimeoutExpired)):
            await asyncio.to_thread(server.__exit__, None, None, None)
    with_server = serving(command, **environ)
    running = await asyncio.to_thread(with_server.__enter__)
    try:
        await asyncio.to_thread(running.sign_in)
        end = time.monotonic() + 30
        while True:
            _, stats = await asyncio.to_thread(running.request, "GET", "/api/mcp/memory/embed-stats")
            if stats["queue_size"] == 0 and stats["total_with_embedding"] == written:
                break
            assert time.monotonic() < end, stats
            await asyncio.sleep(0.1)
    finally:
        await asyncio.to_thread(with_server.__exit__, None, None, None)
