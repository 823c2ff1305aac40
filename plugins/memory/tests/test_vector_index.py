"""The index of meaning finds what comparing every vector would find, whatever was put in, changed and taken out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cloudos_memory.search.vector import index
from cloudos_memory.search.vector.codec import pack, quantise, signs, unpack
from cloudos_memory.search.vector.filters import Attributes, folded
from cloudos_memory.search.vector.index import VectorIndex
from cloudos_sdk.capabilities import NoteFilter
from hypothesis import given, settings
from hypothesis import strategies as st

DIMENSION = 70  # no multiple of 64: the last word of sign bits is padded
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

attributes = st.builds(
    Attributes,
    owner=st.sampled_from(["usr_a", "usr_b"]),
    namespace=st.sampled_from(["work", "home"]),
    source=st.sampled_from(["user", "mcp"]),
    client=st.sampled_from([None, "claude", "cursor"]),
    tags=st.lists(st.sampled_from(["tea", "Straße", "x"]), unique=True, max_size=2).map(tuple),
    importance=st.sampled_from([0.1, 0.5, 0.9]),
    archived=st.booleans(),
    created_at=st.integers(0, 5).map(lambda days: EPOCH + timedelta(days=days)),
)
moments = st.none() | st.integers(0, 5).map(lambda days: EPOCH + timedelta(days=days))
filters = st.builds(
    NoteFilter,
    owner=st.sampled_from(["usr_a", "usr_b", "usr_nobody"]),
    namespaces=st.none() | st.sets(st.sampled_from(["work", "home", "nowhere"])).map(tuple),
    sources=st.none() | st.sets(st.sampled_from(["user", "mcp"])).map(tuple),
    clients=st.none() | st.sets(st.sampled_from(["claude", "cursor"])).map(tuple),
    tags=st.sets(st.sampled_from(["TEA", "#strasse", "x", "none"]), max_size=2).map(tuple),
    since=moments,
    until=moments,
    min_importance=st.sampled_from([0.0, 0.5, 0.9]),
    archived=st.booleans(),
)
notes = st.sampled_from([f"note_{number}" for number in range(6)])
changes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), notes, attributes, st.integers(1, 3)),
        st.tuples(st.just("describe"), notes, attributes, st.just(0)),
        st.tuples(st.just("remove"), notes, st.none(), st.just(0)),
    ),
    max_size=40,
)


def unit(rng, count, dimension=DIMENSION):
    rows = rng.normal(size=(count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def passes(has, wanted):
    tags = {folded(tag) for tag in has.tags}
    return (
        has.owner == wanted.owner
        and (wanted.namespaces is None or has.namespace in wanted.namespaces)
        and (wanted.sources is None or has.source in wanted.sources)
        and (wanted.clients is None or has.client in wanted.clients)
        and {folded(tag) for tag in wanted.tags} <= tags
        and (wanted.since is None or has.created_at >= wanted.since)
        and (wanted.until is None or has.created_at < wanted.until)
        and has.importance >= wanted.min_importance
        and (wanted.archived or not has.archived)
    )


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Have rows moved together after a few dead ones, so that it happens all the time."""
    monkeypatch.setattr(index, "_FEWEST_DEAD", 3)


@given(changes, filters, st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_a_search_is_as_if_every_vector_were_compared(steps, wanted, seed):
    rng = np.random.default_rng(seed)
    index, model = VectorIndex(DIMENSION), {}
    for step, note_id, has, count in steps:
        if step == "put":
            scales, codes = quantise(unit(rng, count))
            index.put(note_id, has, scales, codes)
            model[note_id] = (has, scales[:, None] * codes)
        elif step == "describe":
            index.describe(note_id, has)
            if note_id in model:
                model[note_id] = (has, model[note_id][1])
        else:
            index.remove(note_id)
            model.pop(note_id, None)
        index.search(unit(rng, 1)[0], wanted, 4)  # what it keeps of a filter must not outlive the next change
    query = unit(rng, 1)[0]
    found = index.search(query, wanted, 4, floor=-1.0)
    best = {note_id: (rows @ query) for note_id, (has, rows) in model.items() if passes(has, wanted)}
    expected = sorted(best, key=lambda note_id: -best[note_id].max())[:4]
    assert len(index) == len(model)
    assert [near.note_id for near in found] == expected
    for near in found:
        assert near.similarity == pytest.approx(float(best[near.note_id].max()), abs=1e-4)
        assert near.piece == int(best[near.note_id].argmax())


def test_of_many_vectors_nearly_all_of_the_nearest_are_found_within_any_filter(monkeypatch):
    monkeypatch.setattr("cloudos_memory.search.vector.index._SAMPLED", 4000)  # as if there were four times as many
    rng = np.random.default_rng(7)
    centres = unit(rng, 60, 384)
    rows = np.concatenate([centres + 0.6 * unit(rng, 60, 384) for _ in range(200)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = VectorIndex(384)
    scales, codes = quantise(rows.astype(np.float32))
    for number in range(len(rows)):
        has = Attributes(
            owner="usr_a", namespace="rare" if number % 100 == 0 else "work", source="mcp", client=None,
            tags=("odd",) * (number % 2) + ("most",) * (number % 4 > 0), importance=0.5, archived=False,
            created_at=EPOCH,
        )  # fmt: skip
        index.put(f"note_{number}", has, scales[number : number + 1], codes[number : number + 1])
    for wanted, allowed in (
        (NoteFilter(owner="usr_a"), np.arange(len(rows))),
        (NoteFilter(owner="usr_a", tags=("odd",)), np.arange(1, len(rows), 2)),
        (NoteFilter(owner="usr_a", tags=("most",)), np.flatnonzero(np.arange(len(rows)) % 4)),
        (NoteFilter(owner="usr_a", namespaces=("rare",)), np.arange(0, len(rows), 100)),
    ):
        share = []
        for _ in range(30):
            query = rows[rng.integers(len(rows))] + 0.4 * unit(rng, 1, 384)[0]
            query = (query / np.linalg.norm(query)).astype(np.float32)
            exact = {f"note_{i}" for i in allowed[np.argsort(-(rows[allowed] @ query))[:10]]}
            found = index.search(query, wanted, 10)
            assert {near.note_id for near in found} <= {f"note_{i}" for i in allowed}
            share.append(len(exact & {near.note_id for near in found}) / 10)
        assert np.mean(share) > 0.93


def test_vectors_survive_being_packed_within_a_hundredth():
    rows = unit(np.random.default_rng(1), 50, 384)
    scales, codes = unpack(pack(*quantise(rows)), 384)
    back = scales[:, None] * codes
    assert (back * rows).sum(axis=1).min() > 0.999
    with pytest.raises(ValueError, match="size"):
        unpack(b"short", 384)


def test_signs_are_the_signs():
    codes = np.array([[1, -1, 0, 5] + [3] * 62], np.int8)
    words = signs(codes)
    assert words.shape == (2, 1)
    assert int(np.bitwise_count(words).sum()) == 64


def test_nothing_below_the_floor_is_found():
    index = VectorIndex(DIMENSION)
    rows = unit(np.random.default_rng(3), 1)
    has = Attributes(owner="usr_a", namespace="n", source="mcp", client=None, tags=(), importance=0.5,
                     archived=False, created_at=EPOCH)  # fmt: skip
    index.put("note_x", has, *quantise(rows))
    assert index.search(rows[0], NoteFilter(owner="usr_a"), 5, floor=0.9)
    assert not index.search(-rows[0], NoteFilter(owner="usr_a"), 5, floor=0.2)
