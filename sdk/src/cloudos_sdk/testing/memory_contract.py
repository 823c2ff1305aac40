"""Contract checks of Recall and Embedder (see `contracts.check_recall`, `contracts.check_embedder`)."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Sequence
from datetime import timedelta

from cloudos_sdk.capabilities import Embedder, Note, NoteChange, NoteDraft, NoteFilter, NoteStore, Recall, Recalled

_OWNER, _OTHER = "usr_recall_a", "usr_recall_b"
_ALL = NoteFilter(owner=_OWNER)
_QUERIES = ("", " ", '"', "AND OR NOT", "title:x", "(", "%_", "\\", "-", "🦜", "東京", "x" * 20_000, "\ud800")
_REASONS = {"text", "meaning", "link"}
_WAIT = 10.0


async def check_recall(recall: Recall, *, store: NoteStore) -> None:
    """Check a recall over a store with notes of two owners that exist nowhere else; they are removed at the end."""
    made: list[Note] = []
    try:
        for draft in (
            NoteDraft(content="The quokkaprobe drinks tea at five.", tags=("tea",), importance=0.2, namespace="one"),
            NoteDraft(content="The quokkaprobe sleeps. [[Where it lives]]", importance=0.9, namespace="two"),
            NoteDraft(title="Where it lives", content="On an island without roads.", source="mcp", client="probe"),
            NoteDraft(content="Invoices are due on the first of May."),
        ):
            made.append(await store.create(_OWNER, draft))
        made.append(await store.create(_OTHER, NoteDraft(content="A quokkaprobe of somebody else.", namespace="one")))
        await _check_found(recall, made)
        await _check_filters(recall, store, made)
        for query in _QUERIES:
            _check_order(await recall.search(query, _ALL, 5), 5)
    finally:
        for note in made:
            await store.delete(note.owner, note.id, for_good=True)
    assert not await recall.search("quokkaprobe", _ALL, 10), "notes that are gone are still found"


async def check_embedder(embedder: Embedder) -> None:
    """Check an embedder whose backend is up."""
    assert embedder.name and embedder.model, "an embedder has its name and its model's"
    assert not await embedder.embed([]), "no texts, no vectors"
    near, same, far = await embedder.embed(
        ["the cat sits on the mat", "a cat sat on a mat", "quarterly tax returns of the firm"]
    )
    assert len(near) == len(same) == len(far) > 0, "vectors of one model have one dimension"
    for vector in (near, same, far):
        assert math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-3), "a vector has length 1"
    assert _dot(near, same) > _dot(near, far), "texts that say the same are nearer than others"
    alone = (await embedder.embed(["the cat sits on the mat"]))[0]
    assert _dot(near, alone) > 0.98, "a text has one vector, whatever it is embedded with"
    odd = await embedder.embed(["", "x" * 50_000, "🦜 東京", "\x00"])
    assert all(len(vector) == len(near) for vector in odd), "any text has a vector"


async def _check_found(recall: Recall, made: Sequence[Note]) -> None:
    tea, sleeps, lives, _, foreign = made
    found = await _found(recall, "quokkaprobe", _ALL, {tea.id, sleeps.id})
    _check_order(found, 10)
    by_id = {hit.note.id: hit for hit in found}
    assert {hit.note.id for hit in found[:2]} == {tea.id, sleeps.id}, "what has the word comes before what has it not"
    assert foreign.id not in by_id, "a note of another owner was found"
    assert found[0].note.id == sleeps.id, "of two that match alike the more important comes first"
    for note in (tea, sleeps):
        assert "text" in by_id[note.id].matched, f"found by a word, matched {by_id[note.id].matched}"
        assert "quokkaprobe" in by_id[note.id].snippet.replace("**", ""), "the snippet shows where it matched"
    assert lives.id in by_id and "link" in by_id[lives.id].matched, "what a strong hit is linked with comes along"
    assert len(await recall.search("quokkaprobe", _ALL, 1)) == 1, "more than the limit"


async def _check_filters(recall: Recall, store: NoteStore, made: Sequence[Note]) -> None:
    tea, sleeps, lives, _, _ = made
    later = max(note.created_at for note in made) + timedelta(seconds=1)
    for wanted, ids in (
        ({"namespaces": ("one",)}, {tea.id}),
        ({"namespaces": ("one", "two")}, {tea.id, sleeps.id}),
        ({"namespaces": ()}, set()),
        ({"tags": ("tea",)}, {tea.id}),
        ({"tags": ("tea", "nosuchtag")}, set()),
        ({"sources": ("mcp",)}, {lives.id}),
        ({"clients": ("probe",)}, {lives.id}),
        ({"min_importance": 0.8}, {sleeps.id}),
        ({"until": tea.created_at}, set()),
        ({"since": later}, set()),
    ):
        found = await recall.search("quokkaprobe island", dataclasses.replace(_ALL, **wanted), 10)
        assert {hit.note.id for hit in found} <= ids, f"{wanted} let {[hit.note.title for hit in found]} through"
        assert (tea.id in ids) == (tea.id in {hit.note.id for hit in found}), f"{wanted} hid what it should find"
    await store.update(_OWNER, tea.id, NoteChange(archived=True))
    assert tea.id not in {hit.note.id for hit in await recall.search("quokkaprobe", _ALL, 10)}, "archived, and found"
    await _found(recall, "quokkaprobe", dataclasses.replace(_ALL, archived=True), {tea.id})


async def _found(recall: Recall, query: str, wanted: NoteFilter, ids: set[str]) -> Sequence[Recalled]:
    """Search until these are found: an index may need a moment."""
    async with asyncio.timeout(_WAIT):
        while True:
            found = await recall.search(query, wanted, 10)
            if ids <= {hit.note.id for hit in found}:
                return found
            await asyncio.sleep(0.05)


def _check_order(found: Sequence[Recalled], limit: int) -> None:
    assert len(found) <= limit, "more than the limit"
    assert len({hit.note.id for hit in found}) == len(found), "a note was found twice"
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True), "the best come first"
    for hit in found:
        assert hit.matched and set(hit.matched) <= _REASONS, f"matched {hit.matched!r}"
        assert all(math.isfinite(part) for part in hit.scores.values()), f"{hit.scores!r}"
        assert hit.snippet or not hit.note.content, "a hit has its snippet"


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))
