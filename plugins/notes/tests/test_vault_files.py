"""A file is what its path says: none is lost for another of the same title, and all come out as they came in."""

from __future__ import annotations

import asyncio

import pytest
from cloudos_notes.storage.tables import NOTE
from sqlalchemy import func, select, text
from test_vault import bring, export, packed

FRONT = "---\ntitle: Market\n---\n"
MARKET = {
    "town/north.md": f"{FRONT}ropes and sails",
    "town/south.md": f"{FRONT}bread and salt",
    "town/Plan.md": "[[north]] before [[south|the other]]\n",
    "town/plan.md": "another one, in small letters\n",
    "town/Three   spaces.md": "one",
    "town/Three spaces.md": "two",
    "town/A dot..md": "dot",
    "town/ Before.MD": "a name that begins with a space",
    "town/accent e\u0301.markdown": "decomposed",
    "bom.md": "\ufeff---\ntitle: marked\n---\ntext",
}


async def contents(node):
    notes = await node.get("/api/notes?archived=true&limit=500")
    return {note["id"]: await node.read(note) for note in notes}


async def test_files_of_one_title_or_of_names_alike_are_notes_of_their_own(notes):
    node = await notes()
    outcome = await bring(node, packed(MARKET))
    assert (outcome["created"], outcome["updated"], outcome["failed"]) == (len(MARKET), 0, 0)
    assert await export(node) == MARKET
    again = await bring(node, packed(MARKET))
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, len(MARKET))
    changed = {**MARKET, "town/south.md": f"{FRONT}only bread"}
    assert (await bring(node, packed(changed)))["updated"] == 1
    exported = await export(node)
    assert exported["town/north.md"] == MARKET["town/north.md"] and exported["town/south.md"].endswith("only bread")


async def test_links_name_the_file_where_the_title_is_another(notes):
    node = await notes()
    await bring(node, packed(MARKET))
    found = list((await contents(node)).values())
    plan = next(note for note in found if "[[north]]" in note["content"])
    links = await node.get(f"/api/notes/{plan['id']}/links")
    texts = {note["id"]: note["content"] for note in found}
    assert sorted(texts[link["id"]] for link in links["out"]) == ["bread and salt", "ropes and sails"]
    assert links["broken"] == []
    north = next(note for note in found if note["content"] == "ropes and sails")
    await node.change(north, title="Harbour")
    await node.running.restart()
    node.client = node.running.operator
    assert (await node.read(plan))["content"] == plan["content"], "the file has its name still"
    await node.ask("DELETE", f"/api/notes/{north['id']}", 204)
    assert (await node.links(plan))[2] == ["north"]
    await node.ask("POST", f"/api/notes/{north['id']}/restore")
    assert sorted((await node.links(plan))[0]) == ["Harbour", "Market"]
    exported = await export(node)
    assert exported["town/north.md"].startswith("---\ntitle: Harbour\n")


async def test_a_note_that_is_renamed_or_moved_takes_its_file_along(notes):
    node = await notes()
    await bring(node, packed({"a/Boat.md": "boat", "a/north.md": f"{FRONT}n", "see.md": "[[Boat]]"}))
    listed = {note["title"]: note for note in await node.get("/api/notes")}
    await node.change(listed["Boat"], title="Ship", folder="b")
    await node.change(listed["Market"], folder="")
    exported = await export(node)
    assert sorted(exported) == ["b/Ship.md", "north.md", "see.md"]
    assert exported["see.md"].endswith("[[Ship]]") and exported["b/Ship.md"].endswith("boat")


async def test_a_note_of_no_file_gives_way_to_a_file_of_its_name(notes):
    node = await notes()
    await node.write("mine", title="north", folder="town")
    await bring(node, packed({"town/North.md": f"{FRONT}theirs"}))
    exported = await export(node)
    assert exported["town/North.md"] == f"{FRONT}theirs"
    assert exported["town/north (2).md"] == "---\ntitle: north\n---\nmine"


async def test_attachments_are_kept_exported_and_removed(notes):
    node = await notes()
    files = {"img/a.bin": b"\x00\xff" * 700_000, "latin.md": b"caf\xe9", "a.md": b"![[a.bin]]"}
    outcome = await bring(node, packed(files), "?folder=v")
    assert (outcome["created"], outcome["attachments"], outcome["failed"]) == (1, 2, 1)
    assert outcome["problems"] == [{"path": "latin.md", "problem": "not UTF-8; kept as an attachment"}]
    listed = await node.get("/api/notes/attachments")
    assert [(file["path"], file["size"]) for file in listed] == [("v/img/a.bin", 1_400_000), ("v/latin.md", 4)]
    assert listed[0]["modified_at"] == "2024-03-02T10:20:30Z"
    assert await raw_export(node) == {f"v/{name}": data for name, data in files.items()}
    assert await raw_export(node, "?folder=v/img") == {"v/img/a.bin": files["img/a.bin"]}
    answer = await node.client.get(f"/api/notes/attachments/{listed[0]['id']}")
    assert await answer.get_data() == files["img/a.bin"]
    assert "attachment" in answer.headers["Content-Disposition"]
    path = f"/api/notes/attachments/{listed[0]['id']}"
    await node.ask("GET", path, 404, client=node.running.admin)
    await node.ask("DELETE", path, 403, client=node.running.viewer)
    await node.ask("DELETE", path, 204)
    assert [file["path"] for file in await node.get("/api/notes/attachments")] == ["v/latin.md"]
    await bring(node, packed({"latin.md": "now a text"}), "?folder=v")
    assert await node.get("/api/notes/attachments") == []
    assert (await export(node))["v/latin.md"] == "now a text"


async def test_an_attachment_that_unpacks_to_more_than_is_allowed_ends_the_import(notes):
    node = await notes(max_unpacked_mb=1)
    answer = await node.client.post(
        "/api/notes/import", data=packed({"a.bin": b"0" * 2_000_000}), headers={"Content-Type": "application/zip"}
    )
    assert answer.status_code == 400 and "unpacks to over" in (await answer.get_json())["message"]


async def raw_export(node, query=""):
    import io
    import zipfile

    data = await (await node.client.get(f"/api/notes/export{query}")).get_data()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


async def test_an_import_that_is_killed_before_its_last_word_says_what_it_did(notes):
    node = await notes()
    first = await bring(node, packed(MARKET))
    ctx = node.running.ctx("notes")
    await ctx.db.write(lambda s: s.execute(text("UPDATE host_operation SET state = 'running', result = NULL")))
    await node.running.restart()
    node.client = node.running.operator
    found = await ended(node)
    assert (found["state"], found["result"]) == ("succeeded", first)


async def test_an_import_that_goes_on_makes_no_note_twice_and_counts_all(notes, monkeypatch):
    node = await notes()
    await node.write("old", title="n1")
    monkeypatch.setattr("cloudos_notes.vault.importer._BATCH", 2)
    data = packed({f"n{at}.md": f"note {at}" for at in range(60)})
    await node.ask(
        "POST", "/api/notes/import?existing=copy", 202, data=data, headers={"Content-Type": "application/zip"}
    )
    ctx = node.running.ctx("notes")
    async with asyncio.timeout(30):
        while not await ctx.db.read(lambda s: s.execute(select(func.count()).where(NOTE.c.title == "n5")).scalar()):
            await asyncio.sleep(0)
    await node.running.restart()
    node.client = node.running.operator
    found = await ended(node)
    assert (found["state"], found["result"]["created"]) == ("succeeded", 60)
    assert len(await node.get("/api/notes?limit=500")) == 61


async def ended(node):
    async with asyncio.timeout(30):
        while True:
            found = (await node.get("/api/operations", client=node.running.admin))[0]
            if found["state"] not in ("queued", "running"):
                return found
            await asyncio.sleep(0.02)


async def test_hundreds_of_files_come_out_byte_for_byte(notes):
    node = await notes()
    files = {
        f"d{at % 7}/n{at % 50} {'x' * (at % 3)}{at}.md": f"---\ntitle: T{at % 90}\n---\n{at} [[n{at % 50}]]\r\n"
        for at in range(700)
    }
    outcome = await bring(node, packed(files))
    assert outcome["created"] == 700
    assert await export(node) == files


@pytest.mark.parametrize(("existing", "notes_then", "files_then"), [("skip", 0, 1), ("copy", 1, 1), ("update", 1, 0)])
async def test_a_file_that_is_kept_is_what_is_there_for_an_import(notes, existing, notes_then, files_then):
    node = await notes()
    await bring(node, packed({"v/README.md": b"\xff\xfe no text"}))
    assert len(await node.get("/api/notes/attachments")) == 1
    await bring(node, packed({"v/README.md": "# a note"}), f"?existing={existing}")
    assert len(await contents(node)) == notes_then
    assert len(await node.get("/api/notes/attachments")) == files_then


async def test_many_files_of_one_name_are_kept_by_names_of_their_own(notes):
    node = await notes()
    for number in range(24):
        await bring(node, packed({"a.bin": b"\xff%d" % number}), "?existing=copy")
    paths = [file["path"] for file in await node.get("/api/notes/attachments?limit=500")]
    assert len(set(paths)) == 24 and {"a.bin", "a (2).bin", "a (19).bin"} <= set(paths)
