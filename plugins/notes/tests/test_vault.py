"""A folder of Markdown files goes in and comes out as it was."""

from __future__ import annotations

import asyncio
import io
import struct
import zipfile

import pytest
from cloudos_notes.storage.tables import NoteSelection
from cloudos_notes.vault import front_matter
from cloudos_notes.vault.exporter import _NOTES, Exporter
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

ZIP = {"Content-Type": "application/zip"}
VAULT = {
    "Home.md": "# Welcome\n\nSee [[Projects/Boat]] and [[Boat|the boat]] #start\n",
    "Projects/Boat.md": (
        "---\naliases: [Ship]\ntags:\n  - water\n  - Sea/North\ncssclass: wide   # a comment\nrating: 5\n"
        "due: 2024-05-01\n---\n\nA *boat* with [[Home]].\n\n```python\nx = '[[no]]' #no\n```\n"
    ),
    "Projects/Deep/Ünï çödé 東京.md": "Text\r\nwith CRLF\r\n",
    "Daily/2024-01-05.md": "---\ntag: one, two\ntitle: A day\n---\n- [ ] #todo something\n",
    "Empty.md": "",
    "Rule.md": "---\n\nnot front matter\n\n---\n",
    "Broken.md": "---\n{ not: [yaml\n---\ntext\n",
    "Archived.md": "---\narchived: true\nimportance: 0.9\ncreated: 2020-02-03T04:05:06Z\n---\nold\n",
    "Memory.md": (
        "---\nsource: mcp\nnamespace: work\nclient: cursor\ntags: [mcp, memory, cursor, ns/work, own]\n---\nm\n"
    ),
}


def packed(files, **how):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, (2024, 3, 2, 10, 20, 30))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = how.get("mode", 0o644) << 16
            archive.writestr(entry, text)
    return data.getvalue()


def unpacked(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


async def begin(node, data, query="", status=202):
    return await node.ask("POST", f"/api/notes/import{query}", status, data=data, headers=ZIP)


async def bring(node, data, query=""):
    """Import an archive and return what became of it."""
    id = (await begin(node, data, query))["operation_id"]
    async with asyncio.timeout(30):
        while True:
            found = await node.get(f"/api/operations/{id}", client=node.running.admin)
            if found["state"] not in ("queued", "running"):
                assert found["state"] == "succeeded", found
                return found["result"]
            await asyncio.sleep(0.02)


async def export(node, query=""):
    answer = await node.client.get(f"/api/notes/export{query}")
    assert answer.status_code == 200 and answer.content_type == "application/zip"
    return unpacked(await answer.get_data())


async def test_a_vault_survives_the_round_trip_byte_for_byte(notes):
    node = await notes()
    outcome = await bring(node, packed({**VAULT, "img/a.png": "x", ".obsidian/app.json": "{}"}))
    assert (outcome["created"], outcome["updated"], outcome["failed"], outcome["attachments"]) == (9, 0, 0, 1)
    assert outcome["problems"] == [{"path": ".obsidian/app.json", "problem": "left out, with all 1 hidden files"}]
    assert await export(node) == {**VAULT, "img/a.png": "x"}


async def test_what_the_files_say_becomes_the_notes(notes):
    node = await notes()
    await bring(node, packed(VAULT), "?folder=vault")
    listed = {note["title"]: note for note in await node.get("/api/notes?archived=true")}
    boat = listed["Boat"]
    assert (boat["folder"], boat["tags"], boat["created_at"]) == (
        "vault/Projects",
        ["Sea/North", "water"],
        "2024-03-02T10:20:30Z",
    )
    assert listed["A day"]["tags"] == ["one", "todo", "two"]
    assert (listed["Archived"]["archived"], listed["Archived"]["importance"]) == (True, 0.9)
    assert listed["Archived"]["created_at"] == "2020-02-03T04:05:06Z"
    memory = listed["Memory"]
    assert (memory["source"], memory["namespace"], memory["client"]) == ("mcp", "work", "cursor")
    assert (await node.links(listed["Boat"]))[0] == ["Home"]
    assert (await node.links(listed["Home"]))[0] == ["Boat"]


async def test_an_archive_that_is_read_again_changes_nothing_and_one_that_changed_is_followed(notes):
    node = await notes()
    await bring(node, packed(VAULT))
    again = await bring(node, packed(VAULT))
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 9)
    changed = {**VAULT, "Home.md": "new text"}
    assert (await bring(node, packed(changed), "?existing=skip"))["unchanged"] == 9
    assert (await bring(node, packed(changed)))["updated"] == 1
    assert (await export(node))["Home.md"].endswith("\nnew text")
    assert (await bring(node, packed({"Home.md": "copy"}), "?existing=copy"))["created"] == 1
    assert (await export(node))["Home (2).md"] == "---\ntitle: Home\n---\ncopy"


async def test_an_export_has_the_notes_of_its_beginning(notes, monkeypatch):
    monkeypatch.setattr("cloudos_notes.vault.exporter._WINDOW", 1)
    monkeypatch.setattr("cloudos_notes.vault.exporter._NOTES", _NOTES.limit(1))
    node = await notes()
    await node.write("x", title="early")
    ctx = node.running.ctx("notes")
    owner = await ctx.db.read(lambda s: s.execute(text("SELECT owner FROM notes_note")).scalar_one())
    parts = ctx.use(Exporter).export(NoteSelection(owner=owner))
    archive = await anext(parts)
    await node.write("x", title="late")
    archive += b"".join([part async for part in parts])
    assert set(unpacked(archive)) == {"early.md"}


async def test_a_note_that_changed_says_so_in_its_front_matter_and_keeps_the_rest_of_it(notes):
    node = await notes()
    await bring(node, packed(VAULT))
    boat = (await node.get("/api/notes?q=boat&folder=Projects"))[0]
    await node.change(boat, tags=["land"], importance=0.8)
    text = (await export(node, "?folder=Projects"))["Projects/Boat.md"]
    raw, content, known = front_matter.split(text)
    assert known.tags == ("land",) and known.importance == 0.8
    assert content == VAULT["Projects/Boat.md"].partition("---\n\n")[2].join(["\n", ""])
    for line in ("aliases:", "- Ship", "cssclass: wide", "rating: 5", "due: 2024-05-01"):
        assert line in raw, "a key that is none of ours stays"


async def test_notes_that_were_written_here_come_back_as_they_were(notes):
    node = await notes()
    made = [
        await node.write("plain", title="Plain"),
        await node.write("x #inline", title='What? "a/b": <c>', tags=["given"], importance=0.25, folder="f/g"),
        await node.write("---\nnot: ours\n---\nbody", title="Looks like front matter"),
    ]
    await node.ask("PATCH", f"/api/notes/{made[0]['id']}/meta", json={"archived": True})
    before = await node.get("/api/notes?archived=true")
    answer = await node.client.get("/api/notes/export")
    data = await answer.get_data()
    for note in made:
        await node.ask("DELETE", f"/api/notes/{note['id']}?permanent=true", 204)
    await bring(node, data)
    after = await node.get("/api/notes?archived=true")
    kept = ("title", "tags", "importance", "archived", "folder", "namespace", "source", "excerpt")
    told = [{name: note[name] for name in kept} for note in after]
    was = [{name: note[name] for name in kept} for note in before]
    was[0]["excerpt"] = "body"  # what looks like front matter is taken for it
    assert told == was


@pytest.mark.parametrize(
    "name", ["../out.md", "a/../../out.md", "/etc/out.md", "C:/out.md", "..\\out.md", "a\\..\\..\\out.md"]
)
async def test_an_archive_that_leads_out_of_its_folder_is_refused_whole(notes, name):
    node = await notes()
    refused = await begin(node, packed({"good.md": "x", name: "evil"}), status=400)
    assert refused["error"] == "archive_refused" and "leads out" in refused["message"]
    assert await node.titles() == [] and not list((node.running.ctx("notes").data_dir / "imports").glob("*"))


async def test_bombs_and_what_is_no_archive_are_refused(notes):
    node = await notes(max_unpacked_mb=1, max_note_kb=512, max_import_notes=10)
    small = {"max": "x" * 600_000}
    for data, why in (
        (b"", "no zip"),
        (b"PK\x03\x04 nonsense", "no zip"),
        (packed({f"{n}.md": "x" * 400_000 for n in range(5)}), "unpacks to over"),
        (packed({f"{n}.md": "x" for n in range(11)}), "over 10 notes"),
        (packed({f"{n}.txt": "x" for n in range(41)}), "entries"),
        (packed({"a.md": "target"}, mode=0o120777), "is a link"),
    ):
        refused = await begin(node, data, status=400)
        assert refused["error"] == "archive_refused" and why in refused["message"], refused
    outcome = await bring(node, packed({"long.md": small["max"], "ok.md": "x"}))
    assert (outcome["created"], outcome["failed"]) == (1, 1)
    await node.ask("POST", "/api/notes/import", 415, json={})
    await node.ask("POST", "/api/notes/import?folder=../x", 400, data=packed(VAULT), headers=ZIP)
    await node.ask("POST", "/api/notes/import", 403, client=node.running.viewer, data=packed(VAULT), headers=ZIP)


async def test_an_archive_over_the_limit_is_refused_while_it_comes_in(notes):
    node = await notes(max_import_mb=1)
    refused = await begin(node, b"x" * (1 << 21), status=400)
    assert refused["error"] == "archive_refused"
    assert not list((node.running.ctx("notes").data_dir / "imports").glob("*"))


async def test_a_size_that_lies_and_damaged_files_are_told_by_name(notes):
    node = await notes()
    data = bytearray(packed({"liar.md": "y" * 5000, "good.md": "x"}))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"PK\x01\x02"))
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    outcome = await bring(node, bytes(data))
    assert outcome["created"] == 1 and outcome["problems"][0]["path"] == "liar.md"
    outcome = await bring(node, packed({"latin.md": b"caf\xe9", "nul.md": "a\0b"}))
    assert [problem["path"] for problem in outcome["problems"]] == ["latin.md", "nul.md"]


async def test_an_import_that_a_stop_interrupts_goes_on_at_the_next_start(notes, monkeypatch):
    node = await notes()
    monkeypatch.setattr("cloudos_notes.vault.importer._BATCH", 2)
    id = (await begin(node, packed({f"n{at}.md": f"note {at}" for at in range(60)})))["operation_id"]
    await node.running.restart()
    node.client = node.running.operator
    async with asyncio.timeout(30):
        while (await node.get(f"/api/operations/{id}", client=node.running.admin))["state"] != "succeeded":
            await asyncio.sleep(0.02)
    assert len(await node.get("/api/notes?limit=500")) == 60
    assert not list((node.running.ctx("notes").data_dir / "imports").glob("*.zip"))


async def test_an_import_that_is_killed_at_its_end_says_what_came_of_it(notes):
    node = await notes()
    id = (await begin(node, packed({f"n{at}.md": f"note {at}" for at in range(3)})))["operation_id"]

    async def ended():
        async with asyncio.timeout(30):
            while (found := await node.get(f"/api/operations/{id}", client=node.running.admin))["state"] in (
                "queued",
                "running",
            ):
                await asyncio.sleep(0.02)
        return found["state"], found["result"]

    state, outcome = await ended()
    assert (state, outcome["created"]) == ("succeeded", 3)
    killed = text("UPDATE host_operation SET state = 'running', result = NULL, finished_at = NULL")
    await node.running.host.db.write(lambda session: session.execute(killed))  # as it is before the last write
    await node.running.restart()
    node.client = node.running.operator
    assert await ended() == ("succeeded", outcome)


KEYS = st.text("abc", min_size=1, max_size=3)
PLAIN = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text("abc: #-é", max_size=8) | st.datetimes()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.sampled_from(["x", "Tags", "title", "importance", "archived", "created", "y"]), VALUES))
@settings(max_examples=100, deadline=None)
def test_any_front_matter_is_read_and_written_back(values):
    import yaml

    text = f"---\n{yaml.safe_dump(values)}---\nbody"
    raw, content, known = front_matter.split(text)
    assert content == "body" and front_matter.joined(raw, known, content) == text
    changed = front_matter.KnownFiles(importance=0.125, tags=("new",))
    again = front_matter.split(front_matter.joined(raw, changed, content))
    assert again[1] == "body" and (again[2].importance, again[2].tags) == (0.125, ("new",))
    if "x" in values:
        assert "x" in yaml.safe_load(again[0].split("---\n")[1])


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text_is_taken_apart_and_put_together_again(text):
    for whole in (text, f"---\n{text}\n---\n"):
        raw, content, known = front_matter.split(whole)
        assert (raw or "") + content == whole
        assert front_matter.joined(raw, known, content) == whole
