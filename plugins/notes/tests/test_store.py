"""The store of notes as other plugins see it."""

from cloudos_sdk.capabilities import NoteStore
from cloudos_sdk.testing.contracts import check_note_store


async def test_the_store_keeps_the_contract(cloudos):
    host = await cloudos("notes")
    await check_note_store(host.ctx("notes").use(NoteStore))


async def test_the_models_are_what_the_migrations_make(cloudos):
    host = await cloudos("notes")
    assert host.schema_differences("notes") == []
