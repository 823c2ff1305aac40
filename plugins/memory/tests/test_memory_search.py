"""Search by words and meaning at once: what is found, why, and that it waits for nothing."""

from __future__ import annotations

import asyncio
import time

import pytest
from cloudos_sdk.capabilities import NoteChange, NoteFilter, NoteStore, Recall
from cloudos_sdk.testing.contracts import check_recall
from search_node import OWNER


@pytest.mark.parametrize("backend", ["onnx", "ollama", "off"])
async def test_the_recall_keeps_the_contract(search_node, backend):
    node = await search_node(backend=backend)
    ctx = node.host.ctx("memory")
    await check_recall(ctx.use(Recall), store=ctx.use(NoteStore))


async def test_what_shares_no_word_is_found_by_its_meaning_and_says_so(search_node):
    node = await search_node(backend="onnx")
    await node.write("We keep thirty nightly backups on the S3 target.", title="Retention")
    await node.write("The cat sleeps on the sofa all day long.", title="Pets")
    await node.embedded()

    async def by_meaning():
        return await node.search("feline taking a nap")

    await node.until(by_meaning)
    (hit,) = await node.search("feline taking a nap")
    assert hit.note.title == "Pets"
    assert hit.matched == ("meaning",)
    assert hit.scores["meaning"] > 0.3 and hit.scores["text"] == 0
    assert hit.snippet == "The cat sleeps on the sofa all day long."


async def test_a_hit_of_both_comes_before_a_hit_of_one_and_tells_its_parts(search_node):
    node = await search_node()
    both = await node.write("zeppelin hangar maintenance", title="Both")
    await node.write("something else entirely that mentions the zeppelin in the middle of many words", title="One")
    await node.embedded()
    first, *_ = await node.search("zeppelin hangar maintenance")
    assert first.note.id == both.id and set(first.matched) == {"text", "meaning"}
    assert set(first.scores) == {"text", "meaning", "link", "importance", "recency", "fused"}
    assert first.scores["fused"] == 1.0


async def test_the_snippet_is_the_piece_that_matched(search_node):
    node = await search_node(backend="onnx")
    filler = "The invoices of the quarter were paid in time and nobody complained about the amounts. " * 15
    await node.write(f"{filler}\n\nThe submarine surfaced at dawn near the island.\n\n{filler}", title="Long")
    await node.embedded()

    async def by_meaning():
        return await node.search("a submarine comes up from the sea")

    await node.until(by_meaning)
    (hit,) = await node.search("a submarine comes up from the sea")
    assert "meaning" in hit.matched and "submarine" in hit.snippet


async def test_importance_and_a_fresh_reference_raise_and_links_bring_along(search_node):
    node = await search_node()
    plain = await node.write("kumquat recipe number one", title="Plain", importance=0.1)
    dear = await node.write("kumquat recipe number two", title="Dear", importance=1.0)
    beside = await node.write("Where the fruit was bought.", title="Shop")
    await node.store.link(OWNER, dear.id, beside.id)
    await node.embedded()
    found = await node.search("kumquat recipe number")
    assert [hit.note.id for hit in found][:2] == [dear.id, plain.id]
    along = next(hit for hit in found if hit.note.id == beside.id)
    assert along.matched == ("link",) and along.scores["link"] > 0 and along.scores["fused"] == 0


async def test_filters_hold_inside_the_search_however_many_notes_are_nearer(search_node):
    node = await search_node()
    for number in range(80):
        await node.write(f"quarterly report of the harbour, copy {number}", namespace="work")
    rare = await node.write("report of the harbour, somewhere else", namespace="home", tags=("rare",))
    await node.embedded()
    for wanted in (
        NoteFilter(owner=OWNER, namespaces=("home",)),
        NoteFilter(owner=OWNER, tags=("RARE",)),
    ):
        (hit,) = await node.search("quarterly report of the harbour", wanted)
        assert hit.note.id == rare.id and "meaning" in hit.matched


async def test_a_change_of_what_a_note_is_filtered_by_holds_without_embedding_it_again(search_node, embedding):
    node = await search_node()
    note = await node.write("the lighthouse keeper's ledger", namespace="work")
    await node.embedded()
    asked = len(embedding.requests)
    await node.store.update(OWNER, note.id, NoteChange(importance=0.9, tags=("kept",)))

    async def filtered():
        found = await node.search("lighthouse ledger", NoteFilter(owner=OWNER, tags=("kept",), min_importance=0.8))
        return [hit for hit in found if "meaning" in hit.matched]

    await node.until(filtered)
    texts = [text for request in embedding.requests[asked:] for text in request]
    assert not [text for text in texts if "keeper" in text], "it says the same as before"


async def test_what_is_archived_trashed_or_removed_is_not_found_at_once(search_node):
    node = await search_node()
    notes = [await node.write(f"cartographer's inkwell {word}", title=word) for word in ("one", "two", "three")]
    await node.embedded()
    await node.store.update(OWNER, notes[0].id, NoteChange(archived=True))
    await node.store.delete(OWNER, notes[1].id)
    await node.store.delete(OWNER, notes[2].id, for_good=True)
    assert await node.titles("cartographer's inkwell") == []
    assert await node.titles("cartographer's inkwell", NoteFilter(owner=OWNER, archived=True)) == ["one"]

    async def forgotten():
        return (await node.stats())["total_with_embedding"] == 1

    await node.until(forgotten)


async def test_a_search_goes_on_without_a_backend_that_is_slow_or_down(search_node, embedding):
    node = await search_node(query_milliseconds=100)
    await node.write("a barometer on the wall", title="Barometer")
    await node.embedded()
    embedding.delay = 5
    start = time.monotonic()
    (hit,) = await node.search("barometer reading")
    assert time.monotonic() - start < 4
    assert hit.matched == ("text",)
    embedding.delay, embedding.status = 0, 500
    assert await node.titles("the barometer please") == ["Barometer"]
    asked = len(embedding.requests)
    for number in range(5):
        assert await node.titles(f"barometer {number}") == ["Barometer"]
    assert len(embedding.requests) <= asked + 1, "a backend that is down is left alone for a while"


async def test_a_query_asked_twice_is_embedded_once(search_node, embedding):
    node = await search_node()
    await node.write("an astrolabe of brass")
    await node.embedded()
    asked = len(embedding.requests)
    await asyncio.gather(*(node.search("brass astrolabe") for _ in range(5)))
    await node.search(" brass astrolabe ")
    assert len(embedding.requests) == asked + 1


async def test_two_who_ask_the_same_at_once_each_find_what_is_theirs(search_node, embedding):
    node = await search_node()
    for namespace in ("work", "home"):
        await node.write("the tide table of the estuary", title=f"Tides of {namespace}", namespace=namespace)
    await node.embedded()
    asked = len(embedding.requests)
    found = await asyncio.gather(
        *(node.search("tide table estuary", NoteFilter(owner=OWNER, namespaces=(name,))) for name in ("work", "home"))
    )
    assert [[hit.note.title for hit in hits] for hits in found] == [["Tides of work"], ["Tides of home"]]
    assert all("meaning" in hit.matched for hits in found for hit in hits)
    assert len(embedding.requests) == asked + 1, "the query is embedded once"


async def test_without_embedding_words_find_alone_and_nothing_waits(search_node):
    node = await search_node(backend="off")
    await node.write("a sextant in its box", title="Sextant")
    (hit,) = await node.search("sextant")
    assert hit.matched == ("text",)
    stats = await node.stats()
    assert (stats["enabled"], stats["backend_name"], stats["queue_size"], stats["total"]) == (False, "none", 0, 1)


async def test_the_vectors_are_there_again_after_a_restart_without_being_made_again(search_node, embedding):
    node = await search_node()
    await node.write("the observatory's dome", title="Dome")
    await node.embedded()
    asked = len(embedding.requests)
    await node.host.restart()

    async def by_meaning():
        return [hit for hit in await node.search("observatory dome") if "meaning" in hit.matched]

    await node.until(by_meaning)
    texts = {text for request in embedding.requests[asked:] for text in request}
    assert not [text for text in texts if "the observatory's dome" in text]
