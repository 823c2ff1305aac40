"""The vector index: exact filters, then the nearest vectors among the rest.

Two steps, both over plain arrays: the sign bits of all rows that pass the filters choose candidates by Hamming
distance, and the int8 vectors of these are compared with the query. Why this and no graph or library is in
docs/decisions/. Not safe for threads: a lock holds it (see `search/vector/service.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from cloudos_sdk.capabilities import NoteFilter
from numpy.typing import NDArray

from cloudos_memory.search.vector.codec import Codes, Floats, Scales, signs
from cloudos_memory.search.vector.filters import Attributes, Neighbor, folded

_CANDIDATES = 2000
_FILTERS_KEPT = 16
_COMPARED = 256  # rows at a time: from about 1,200 on BLAS wakes a thread on every core, 30 ms under load
_COUNTED = 32768  # rows at a time, whose bits stay in the cache of a core
_SAMPLED = 16384  # rows at most by which it is judged how far the candidates reach
_FEWEST_DEAD, _DEAD_SHARE = 1024, 3  # rows are moved together when more than a third of them are dead


@dataclass(slots=True)
class _Place:
    start: int
    count: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class _Passing:
    """The rows that pass a filter, and every `step`-th of them, by which the distance of the nearest is judged."""

    mask: NDArray[np.bool_]
    count: int
    step: int
    sample: NDArray[np.intp]


class _Scratch:
    """Reusable buffers of a search: allocating them would cost as much as the search."""

    def __init__(self, dimension: int) -> None:
        self.floats = np.empty((_COMPARED, dimension), np.float32)
        self.differ = np.empty((-(-dimension // 64), _COUNTED), np.uint64)
        self.count = np.empty(self.differ.shape, np.uint8)


class VectorIndex:
    """Vectors of one model, some rows (pieces) for each note."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._words = -(-dimension // 64)
        self._places: dict[str, _Place] = {}
        self._notes: list[str] = []  # the note of each row
        self._tags: dict[str, array[int]] = {}  # rows of each tag; those of dead rows stay until all are moved
        self._names: dict[str, int] = {}
        self._kept: dict[NoteFilter, _Passing] = {}
        self._scratch = _Scratch(dimension)
        self._rows = self._dead = 0
        self._allocate(1024)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, note_id: object) -> bool:
        return note_id in self._places

    def put(self, note_id: str, attributes: Attributes, scales: Scales, codes: Codes) -> None:
        """Add or replace a note."""
        self.remove(note_id)
        self._kept.clear()
        count, start = len(codes), self._rows
        self._reserve(start + count)
        rows = slice(start, start + count)
        self._codes[rows], self._scales[rows], self._alive[rows] = codes, scales, True
        self._bits[:, rows] = signs(codes)
        self._piece[rows] = np.arange(count)
        self._notes += [note_id] * count
        self._rows += count
        self._places[note_id] = _Place(start, count, attributes)
        self._describe(rows, attributes)
        for tag in attributes.tags:
            self._tags.setdefault(folded(tag), array("i")).extend(range(start, start + count))

    def describe(self, note_id: str, attributes: Attributes) -> None:
        """Change the attributes of a note, if it is indexed."""
        place = self._places.get(note_id)
        if place is None or place.attributes == attributes:
            return
        rows = slice(place.start, place.start + place.count)
        if place.attributes.tags != attributes.tags:  # the rows of a tag only ever grow, so the note moves
            self.put(note_id, attributes, self._scales[rows].copy(), self._codes[rows].copy())
            return
        self._kept.clear()
        place.attributes = attributes
        self._describe(rows, attributes)

    def remove(self, note_id: str) -> None:
        """Remove a note, if it is indexed."""
        place = self._places.pop(note_id, None)
        if place is None:
            return
        self._kept.clear()
        self._alive[place.start : place.start + place.count] = False
        self._dead += place.count
        if self._dead > _FEWEST_DEAD and self._dead * _DEAD_SHARE > self._rows:
            self._move_together()

    def search(self, query: Floats, wanted: NoteFilter, limit: int, floor: float = 0.0) -> list[Neighbor]:
        """Return the notes nearest to a query of length 1 among those that are wanted, nearest first."""
        passing = self._passing(wanted)
        rows = self._candidates(query, passing) if passing.count > _CANDIDATES else np.flatnonzero(passing.mask)
        similarity = self._compare(query, rows)
        found: dict[str, Neighbor] = {}
        for at in np.argsort(-similarity):
            if similarity[at] < floor or len(found) == limit:
                break
            row = int(rows[at])
            note_id = self._notes[row]
            if note_id not in found:
                found[note_id] = Neighbor(note_id, float(similarity[at]), int(self._piece[row]))
        return list(found.values())

    def _compare(self, query: Floats, rows: NDArray[np.intp]) -> Floats:
        similarity = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), _COMPARED):
            part = rows[start : start + _COMPARED]
            floats = self._scratch.floats[: len(part)]
            floats[:] = self._codes[part]
            np.dot(floats, query, out=similarity[start : start + len(part)])
        similarity *= self._scales[rows]
        return similarity

    def _candidates(self, query: Floats, passing: _Passing) -> NDArray[np.intp]:
        """Return those of the rows whose signs differ least from the query's."""
        wanted = signs((query[None, :] > 0).astype(np.int8))
        # where most pass, whole columns are read faster than picked ones
        rows = None if passing.count * 2 > self._rows else np.flatnonzero(passing.mask)
        distance = np.empty(self._rows if rows is None else len(rows), np.uint16)
        for start in range(0, len(distance), _COUNTED):
            part = slice(start, min(len(distance), start + _COUNTED))
            bits = self._bits[:, part] if rows is None else self._bits.take(rows[part], axis=1)
            differ, count = (room[:, : part.stop - start] for room in (self._scratch.differ, self._scratch.count))
            np.bitwise_count(np.bitwise_xor(bits, wanted, out=differ), out=count)
            np.add.reduce(count, axis=0, dtype=np.uint16, out=distance[part])
        if rows is None:
            distance[~passing.mask] = self._words * 64 + 1
        sampled = distance[passing.sample] if rows is None else distance[:: passing.step]
        farthest = np.searchsorted(np.bincount(sampled).cumsum(), _CANDIDATES // passing.step)
        nearest = np.flatnonzero(distance <= farthest)[: 2 * _CANDIDATES]
        return nearest if rows is None else rows[nearest]

    def _passing(self, wanted: NoteFilter) -> _Passing:
        """Return the rows that pass a filter; those of filters in use are kept until anything changes."""
        found = self._kept.get(wanted)
        if found is None:
            mask = self._mask(wanted)
            rows = np.flatnonzero(mask)
            step = 1 + len(rows) // _SAMPLED
            found = _Passing(mask, len(rows), step, rows[::step])
            if len(self._kept) == _FILTERS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[wanted] = found
        return found

    def _mask(self, wanted: NoteFilter) -> NDArray[np.bool_]:
        n = self._rows
        mask: NDArray[np.bool_] = self._alive[:n] & (self._owner[:n] == self._names.get(wanted.owner, -1))
        for column, names in (
            (self._namespace, wanted.namespaces),
            (self._source, wanted.sources),
            (self._client, wanted.clients),
        ):
            if names is not None:
                mask &= _any_of(column[:n], [self._names.get(name, -1) for name in names])
        if wanted.since is not None:
            mask &= self._created[:n] >= wanted.since.timestamp()
        if wanted.until is not None:
            mask &= self._created[:n] < wanted.until.timestamp()
        if wanted.min_importance > 0:
            mask &= self._importance[:n] >= np.float32(wanted.min_importance)
        if not wanted.archived:
            mask &= ~self._archived[:n]
        for tag in wanted.tags:
            tagged = np.zeros(n, np.bool_)
            tagged[np.array(self._tags.get(folded(tag), ()), np.int32)] = True
            mask &= tagged
        return mask

    def _describe(self, rows: slice, attributes: Attributes) -> None:
        self._owner[rows] = self._name(attributes.owner)
        self._namespace[rows] = self._name(attributes.namespace)
        self._source[rows] = self._name(attributes.source)
        self._client[rows] = -2 if attributes.client is None else self._name(attributes.client)
        self._created[rows] = attributes.created_at.timestamp()
        self._importance[rows] = attributes.importance
        self._archived[rows] = attributes.archived

    def _name(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _allocate(self, size: int) -> None:
        self._codes = np.zeros((size, self.dimension), np.int8)
        self._bits = np.zeros((self._words, size), np.uint64)
        self._scales = np.zeros(size, np.float32)
        self._piece = np.zeros(size, np.uint16)
        self._owner, self._namespace, self._source, self._client = (np.full(size, -2, np.int32) for _ in range(4))
        self._created = np.zeros(size, np.float64)
        self._importance = np.zeros(size, np.float32)
        self._archived, self._alive = np.zeros(size, np.bool_), np.zeros(size, np.bool_)

    def _reserve(self, size: int) -> None:
        if size > len(self._alive):
            self._take(slice(0, self._rows), max(size, len(self._alive) * 3 // 2))

    def _take(self, rows: slice | NDArray[np.intp], size: int) -> None:
        """Give every array this size and keep these rows of it, at its beginning."""
        kept = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        self._allocate(size)
        for name, old in kept.items():
            if name == "_bits":
                values = old[:, rows]
                self._bits[:, : values.shape[1]] = values
            else:
                values = old[rows]
                getattr(self, name)[: len(values)] = values

    def _move_together(self) -> None:
        alive = np.flatnonzero(self._alive[: self._rows])
        self._take(alive, max(1024, len(alive) * 3 // 2))
        self._notes = [self._notes[row] for row in alive]
        self._rows, self._dead = len(alive), 0
        self._tags = {}
        at = 0
        for place in sorted(self._places.values(), key=lambda place: place.start):
            place.start, at = at, at + place.count
            for tag in place.attributes.tags:
                self._tags.setdefault(folded(tag), array("i")).extend(range(place.start, at))


def _any_of(column: NDArray[np.int32], codes: Iterable[int]) -> NDArray[np.bool_]:
    mask = np.zeros(len(column), np.bool_)
    for code in codes:
        mask |= column == code
    return mask
