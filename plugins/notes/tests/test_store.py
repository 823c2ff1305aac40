"""The store of notes as other plugins see it."""

import pytest
from cloudos_notes.storage.store import Store
from cloudos_notes.text.inputs import ready
from cloudos_sdk.capabilities import NoteDraft, NoteFilter, NoteStore
from cloudos_sdk.testing.contracts import check_note_store
from sqlalchemy import event

OWNER = "usr_operator"


async def test_the_store_keeps_the_contract(cloudos):
    host = await cloudos("notes")
    await check_note_store(host.ctx("notes").use(NoteStore))


async def test_the_models_are_what_the_migrations_make(cloudos):
    host = await cloudos("notes")
    assert host.schema_differences("notes") == []


@pytest.mark.parametrize("namespaces", [None, ("default",)])
async def test_a_few_notes_take_as_long_to_read_among_many_as_among_few(cloudos, namespaces):
    ctx = (await cloudos("notes")).ctx("notes")
    store, wanted = ctx.use(Store), NoteFilter(owner=OWNER, namespaces=namespaces)
    drafts = [NoteDraft(title=f"Note {number}", content=f"[[Note {number - 1}]] #t{number}") for number in range(40)]
    notes = [await store.create(OWNER, draft) for draft in drafts]
    ids = [note.id for note in notes[10:30]]
    reads = {
        "by id": lambda: store.get_many(OWNER, ids),
        "neighbours": lambda: store.neighbours(ids[0], wanted, 4, 10),
        "links": lambda: store.linked(OWNER, ids),
        "by title": lambda: store.by_title(OWNER, "Note 12", namespaces),
        "recent": lambda: store.recent(wanted, 10),
        "to index": lambda: store.scan("", 10),
    }
    few = {name: await work_of(ctx.db, read) for name, read in reads.items()}
    others = [await ready(NoteDraft(title=f"Other {number}", content="."), store.most) for number in range(2_000)]
    await ctx.db.write(lambda session: [store.writing.insert(session, OWNER, other) for other in others])
    many = {name: await work_of(ctx.db, read) for name, read in reads.items()}
    assert {name: many[name] for name in reads if many[name] > 2 * few[name] + 500} == {}


async def work_of(db, read):
    """Return the steps that SQLite takes for a read, to some tens; 0 of another database, whose planner counts rows."""
    steps, connections = [0], []

    def stepped():
        steps[0] += 10

    def begun(connection):
        if db.dialect == "sqlite":
            connections.append(connection.connection.driver_connection)
            connections[-1].set_progress_handler(stepped, 10)

    engine = await db.read(lambda session: session.get_bind())
    event.listen(engine, "begin", begun)
    try:
        assert await read()
    finally:
        event.remove(engine, "begin", begun)
        for connection in connections:
            connection.set_progress_handler(None, 0)
    return steps[0]
