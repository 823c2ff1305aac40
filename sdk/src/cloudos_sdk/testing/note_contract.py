"""Contract check of NoteStore (see `contracts.check_note_store`)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable

from cloudos_sdk import Conflict, NotFound
from cloudos_sdk.capabilities import Note, NoteChange, NoteDraft, NoteFilter, NoteStore

_OWNER, _OTHER = "usr_contract_a", "usr_contract_b"
_ALL = NoteFilter(owner=_OWNER)
_QUERIES = (
    "",
    " ",
    '"',
    "'",
    "AND OR NOT",
    "title:x",
    "a*",
    "(",
    "^x",
    "NEAR(a b)",
    "%_",
    "\\",
    "-",
    "🦜",
    "東京",
    "a\0b",
    "\ud800",
)


async def check_note_store(store: NoteStore) -> None:
    """Check a store with notes of two owners that exist nowhere else; they are removed at the end."""
    made: list[Note] = []
    try:
        made += await _check_writing(store)
        await _check_versions(store, made[0])
        made += await _check_links(store)
        made += await _check_search(store)
        await _check_owners(store, made)
        await _check_trash(store, made[0])
    finally:
        for note in made:
            if not await _refused(store.delete(note.owner, note.id, for_good=True)):
                assert await store.get(note.owner, note.id) is None, "what was removed for good is still there"


async def _check_writing(store: NoteStore) -> list[Note]:
    draft = NoteDraft(
        content="# Cutover plan\n\nThe #rollout of [[Contract target]]",
        tags=("given", "#Second"),
        importance=0.7,
        source="mcp",
        namespace="contract",
        client="claude-desktop",
    )
    note = await store.create(_OWNER, draft, idempotency_key="contract-1")
    again = await store.create(_OWNER, draft, idempotency_key="contract-1")
    assert again.id == note.id, "a create that is sent again makes no second note"
    other = await store.create(_OWNER, draft, idempotency_key="contract-2")
    assert other.id != note.id, "another key makes another note"
    assert note.title == "Cutover plan", f"without a title the first line is the title, not {note.title!r}"
    assert note.content == draft.content, "the content is kept as it was given"
    assert note.tags == ("Second", "given", "rollout"), f"tags are given and inline ones, sorted: {note.tags}"
    assert (note.importance, note.archived, note.version) == (0.7, False, 1), f"{note!r}"
    assert (note.source, note.namespace, note.client) == ("mcp", "contract", "claude-desktop"), f"{note!r}"
    assert note.created_at.tzinfo is not None and note.updated_at == note.created_at, f"{note!r}"
    assert await store.get(_OWNER, note.id) == note, "a note is read as it was returned"
    odd = ["note_thereisnone", "note_\0", "note_\ud800", "nöte"]
    assert await store.get_many(_OWNER, [note.id, *odd, note.id]) == {note.id: note}, "get_many"
    found = await store.by_title(_OWNER, "cutover PLAN")
    assert [each.id for each in found] == [other.id, note.id], "by_title takes any case and gives the newest first"
    assert not await store.by_title(_OWNER, "Cutover plan", ("elsewhere",)), "by_title keeps to the namespaces"
    return [note, other]


async def _check_versions(store: NoteStore, note: Note) -> None:
    changed = await store.update(_OWNER, note.id, NoteChange(content="now #other", tags=("third",)), version=1)
    assert changed.version == 2 and changed.title == note.title, f"a change counts up and leaves the rest: {changed!r}"
    assert changed.tags == ("other", "third"), f"tags follow what was given and the text: {changed.tags}"
    assert await store.get(_OWNER, note.id) == changed, "an update returns the note as it is now"
    for version in (1, 3):
        code = await _refused(store.update(_OWNER, note.id, NoteChange(importance=0.1), version=version))
        assert code == "stale_version", f"version {version} of a note at 2 is {code!r}, not stale_version"
    archived = await store.update(_OWNER, note.id, NoteChange(archived=True))
    assert archived.archived and note.id not in await _ids(store, _ALL), "an archived note is left out"
    everything = NoteFilter(owner=_OWNER, archived=True)
    assert note.id in await _ids(store, everything), "an archived note is there for who asks for such"
    await store.update(_OWNER, note.id, NoteChange(archived=False, importance=0.7))


async def _check_links(store: NoteStore) -> list[Note]:
    source = (await store.by_title(_OWNER, "Cutover plan"))[0]
    assert not (await store.linked(_OWNER, [source.id]))[0], "a link to a title that nobody has is none yet"
    target = await store.create(_OWNER, NoteDraft(title="Contract target", content="x", namespace="contract"))
    assert (source.id, target.id) in (await store.linked(_OWNER, [source.id]))[0], "it is one once the title is written"
    far = await store.create(_OWNER, NoteDraft(title="Far away", content="y", namespace="far"))
    assert await store.link(_OWNER, target.id, far.id) and not await store.link(_OWNER, target.id, far.id), "link"
    _, along = await store.linked(_OWNER, [source.id], [far.id])
    assert set(along) == {source.id, target.id, far.id}, "with the links come their ends and the notes asked for"
    assert along[far.id] == far and not (await store.linked(_OTHER, [source.id], [far.id]))[1], "the owner's alone"
    near = await store.neighbours(source.id, _ALL, 2, 10)
    assert [(each.note.id, each.distance) for each in near] == [(target.id, 1), (far.id, 2)], f"neighbours: {near}"
    back = await store.neighbours(far.id, _ALL, 1, 10)
    assert [each.note.id for each in back] == [target.id], "links are walked both ways"
    inside = NoteFilter(owner=_OWNER, namespaces=("contract",))
    near = await store.neighbours(source.id, inside, 4, 10)
    assert [each.note.id for each in near] == [target.id], "neighbours keep to the filter"
    await store.update(_OWNER, target.id, NoteChange(title="New name"))
    renamed = await store.get(_OWNER, source.id)
    assert renamed is not None and "[[New name]]" in renamed.content, "a link by title follows a rename"
    assert (source.id, target.id) in (await store.linked(_OWNER, [target.id]))[0], "and still leads there"
    assert await store.unlink(_OWNER, target.id, far.id) and not await store.unlink(_OWNER, target.id, far.id), "unlink"
    for ends in ((source.id, "note_thereisnone"), ("note_thereisnone", source.id)):
        assert await _refused(store.link(_OWNER, *ends)) == "note_not_found", "only notes that are there are linked"
    return [target, far]


async def _check_search(store: NoteStore) -> list[Note]:
    drafts = [
        NoteDraft(title="Zorbulation", content="how the pump is primed", importance=0.2, namespace="a"),
        NoteDraft(title="Pump room", content="a zorbulation of retry_backoff.seconds in HttpPumpServer", tags=("x",)),
    ]
    notes = [await store.create(_OWNER, draft) for draft in drafts]
    hits = await store.search_text("What about zorbulation?", _ALL, 10)
    assert [hit.note for hit in hits] == notes, "a word in the title weighs more; the rest is prose"
    assert hits[0].score > hits[1].score, "a better match has a higher score"
    assert "**zorbulation**" in hits[1].snippet, f"the snippet marks the word: {hits[1].snippet!r}"
    for query in (
        "retry_backoff",
        "backoff seconds",
        "retry_backoff.seconds",
        "HttpPumpServer",
        "http server",
        "zorbul",
    ):
        found = [hit.id for hit in await store.search_text(query, _ALL, 10)]
        assert notes[1].id in found, f"{query!r} does not find the identifier"
    for wanted, left in (
        (NoteFilter(owner=_OWNER, namespaces=("a",)), notes[:1]),
        (NoteFilter(owner=_OWNER, tags=("#X",)), notes[1:]),
        (NoteFilter(owner=_OWNER, min_importance=0.4), notes[1:]),
        (NoteFilter(owner=_OWNER, sources=("molly",)), []),
        (NoteFilter(owner=_OWNER, clients=("nobody",)), []),
        (NoteFilter(owner=_OWNER, since=notes[0].created_at), notes),
        (NoteFilter(owner=_OWNER, until=notes[0].created_at), []),
    ):
        hits = await store.search_text("zorbulation", wanted, 10)
        assert [hit.id for hit in hits] == [note.id for note in left], f"the search keeps to {wanted!r}"
    for query in _QUERIES:
        assert len(await store.search_text(query, _ALL, 3)) <= 3, f"{query!r} is a query like any other"
    stats = await store.stats(NoteFilter(owner=_OWNER, namespaces=("a", "default")))
    assert (stats.notes, dict(stats.by_namespace)) == (2, {"a": 1, "default": 1}), f"{stats!r}"
    assert (dict(stats.by_tag), dict(stats.by_source)) == ({"x": 1}, {"user": 2}), f"{stats!r}"
    await store.touch([notes[0].id])
    async with asyncio.timeout(5):
        while (await _read(store, notes[0].id)).last_referenced_at is None:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.05)
    assert (await store.recent(_ALL, 1))[0].id in {notes[0].id, notes[1].id}, "the newest or last referenced is first"
    return notes


async def _check_owners(store: NoteStore, made: list[Note]) -> None:
    scanned: list[Note] = []
    after = ""
    while page := await store.scan(after, 3):
        assert all(a.id < b.id for a, b in itertools.pairwise(page)) and page[0].id > after, "scan is by id"
        scanned, after = [*scanned, *page], page[-1].id
    assert {note.id for note in made} <= {note.id for note in scanned}, "a scan sees the notes of every owner"
    others = NoteFilter(owner=_OTHER, archived=True)
    id = made[0].id
    assert await store.get(_OTHER, id) is None and not await store.get_many(_OTHER, [id]), "another's note is not there"
    assert not await store.recent(others, 10) and not await store.search_text("zorbulation pump", others, 10), "seen"
    assert not await store.neighbours(id, others, 2, 10), "another's links are not walked"
    assert (await store.stats(others)).notes == 0 and not await store.by_title(_OTHER, made[0].title), "counted"
    for act in (
        store.update(_OTHER, id, NoteChange(importance=1.0)),
        store.delete(_OTHER, id),
        store.delete(_OTHER, id, for_good=True),
        store.link(_OTHER, id, made[1].id),
    ):
        assert await _refused(act) == "note_not_found", "another's note was changed"


async def _check_trash(store: NoteStore, note: Note) -> None:
    await store.delete(_OWNER, note.id)
    assert await store.get(_OWNER, note.id) is None, "a note in the trash is not there"
    assert note.id not in await _ids(store, NoteFilter(owner=_OWNER, archived=True)), "recent shows the trash"
    assert await _refused(store.update(_OWNER, note.id, NoteChange(importance=1.0))) == "note_not_found", "changed"
    assert await _refused(store.delete(_OWNER, "note_thereisnone")) == "note_not_found", "nothing was deleted"


async def _ids(store: NoteStore, wanted: NoteFilter) -> list[str]:
    return [note.id for note in await store.recent(wanted, 100)]


async def _read(store: NoteStore, note_id: str) -> Note:
    note = await store.get(_OWNER, note_id)
    assert note is not None, f"{note_id} is gone"
    return note


async def _refused(act: Awaitable[object]) -> str | None:
    """Return the error code of a call; None if it succeeds."""
    try:
        await act
    except (NotFound, Conflict) as error:
        return error.code
    return None
