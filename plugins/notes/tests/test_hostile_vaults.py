"""Archives that mean no good: one bad file is left out and told, and nothing costs more than it weighs."""

from __future__ import annotations

import asyncio
import zipfile

import pytest
from cloudos_notes.vault import front_matter, uploads
from cloudos_notes.vault.importer import Importer
from test_vault import ZIP, begin, bring, export, packed

GOOD = "---\ntags: [kept]\n---\nA good note.\n"
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = (
    "a: &a {"
    + ", ".join(f"k{n}: 1" for n in range(50))
    + "}\n"
    + "".join(
        f"{b}: &{b} {{<<: [" + ", ".join([f"*{a}"] * 30) + "]}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
)
FRONTS = {
    "a time that is none": "created: !!timestamp soon",
    "a truth that is none": "archived: !!bool perhaps",
    "a number without end": f"title: 0x{'f' * 20_000}",
    "a key without end": f"? 0x{'f' * 20_000}\n: 1",
    "a tag without end": f"tags: [0x{'f' * 20_000}]",
    "an importance without end": f"importance: 1{'0' * 5000}",
    "minutes without end": "title: 1" + ":59" * 15_000,
    "bytes that are none": "title: !!binary ü",
    "an object": "title: !!python/object/apply:os.system [true]",
    "itself": "tags: &a [*a]\ntitle: &b {b: *b}",
    "laughs": LAUGHS,
    "merges": MERGES,
    "deep": "title: " + "[" * 20_000 + "]" * 20_000,
    "deep blocks": "".join(f"{' ' * n}a:\n" for n in range(340)),
    "an equals sign": "title: =",
    "a year of none": "created: 0000-01-01",
    "a day that is not": "created: 2024-13-45",
    "an offset beyond": "created: 9999-12-31T23:59:59-23:00",
    "controls": 'title: "a\\r\\nb\\x1b[2J\\u2028c"',
    "a half": 'title: "\\ud800"',
    "tabs": "\ttitle: x",
    "a mark of order": "\ufefftitle: x",
    "many tags": "tags: [" + ", ".join(f"t{n}" for n in range(9000)) + "]",
}


@pytest.mark.parametrize("name", FRONTS)
async def test_no_front_matter_ends_an_import_or_an_export(notes, name):
    node = await notes()
    bad = f"---\n{FRONTS[name]}\n---\nbody\n"
    async with asyncio.timeout(30):
        outcome = await bring(node, packed({"a good.md": GOOD, f"{name}.md": bad, "z good.md": GOOD}))
        assert outcome["created"] + outcome["failed"] == 3
        assert outcome["created"] >= 2
        exported = await export(node)
    assert exported["a good.md"] == GOOD and exported["z good.md"] == GOOD


@pytest.mark.parametrize("name", FRONTS)
async def test_no_front_matter_unfolds(name):
    text = f"---\n{FRONTS[name]}\n---\nbody\n"
    async with asyncio.timeout(20):
        raw, content, _known = await asyncio.to_thread(front_matter.split, text)
        assert (raw or "") + content == text
        await asyncio.to_thread(front_matter.joined, raw, front_matter.KnownFiles(title="Another"), content)


async def test_a_note_that_cannot_be_stored_is_left_out_and_named(notes, monkeypatch):
    node = await notes()
    write = Importer._write

    def refuse(self, session, owner, new, existing):
        if new.title == "bad":
            raise LookupError("a fault that nobody thought of")
        return write(self, session, owner, new, existing)

    monkeypatch.setattr(Importer, "_write", refuse)
    outcome = await bring(node, packed({"a.md": "a", "bad.md": "b", "c.md": "c"}))
    assert (outcome["created"], outcome["failed"]) == (2, 1)
    assert outcome["problems"] == [
        {"path": "bad.md", "problem": "left out, because it cannot be read (LookupError)"},
    ]
    assert sorted(await node.titles()) == ["a", "c"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
async def test_a_name_that_comes_twice_is_read_once(notes):
    node = await notes()
    data = bytearray()
    import io

    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.md", "the first")
        archive.writestr("a.md", "the second")
    data += sink.getvalue()
    outcome = await bring(node, bytes(data))
    assert (outcome["created"], outcome["updated"], outcome["failed"]) == (1, 0, 1)
    assert "came before" in outcome["problems"][0]["problem"]


async def test_entries_are_counted_before_they_are_taken_up(notes):
    node = await notes(max_import_notes=10)
    import io

    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for number in range(41):
            archive.writestr(f"{number}.txt", "")
    problem = await begin(node, sink.getvalue(), status=400)
    assert problem["error"] == "archive_refused" and "entries" in problem["message"]


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
async def test_what_is_packed_in_another_way_is_left_out(notes, kind):
    node = await notes()
    import io

    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", kind) as archive:
        archive.writestr("a.md", "text " * 100)
        archive.writestr("b.md", "text", zipfile.ZIP_DEFLATED)
    outcome = await bring(node, sink.getvalue())
    assert (outcome["created"], outcome["failed"]) == (1, 1)


class Drip:
    """A body that comes a byte at a time."""

    def __init__(self):
        self.came = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0.01)
        self.came += 1
        return b"x"


async def test_an_upload_that_drips_is_ended(monkeypatch):
    from werkzeug.exceptions import RequestTimeout

    monkeypatch.setattr(uploads, "PATIENCE", 0.5)
    drip = Drip()
    with pytest.raises(RequestTimeout):
        async with asyncio.timeout(20):
            async for _ in uploads.in_time(drip):
                pass
    assert drip.came > 1, "between two bytes it was in time"


async def test_one_user_leaves_places_for_the_uploads_of_others(notes, served):
    node = await notes()
    url = await served(node.running)
    head = (
        "POST /api/notes/import HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {}\r\nContent-Type: application/zip\r\n"
    )
    held = []
    for _ in range(2):
        _reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"{head.format('operator')}Content-Length: 1000\r\n\r\nPK".encode())
        await writer.drain()
        held.append(writer)
    await asyncio.sleep(0.2)
    problem = await node.ask("POST", "/api/notes/import", 429, data=packed({"a.md": "a"}), headers=ZIP)
    assert problem["error"] == "too_many_requests"
    other = node.running.admin
    await node.ask("POST", "/api/notes/import", 202, client=other, data=packed({"a.md": "a"}), headers=ZIP)
    for writer in held:
        writer.close()
    async with asyncio.timeout(5):
        while (await node.client.post("/api/notes/import", data=packed({"a.md": "a"}), headers=ZIP)).status_code != 202:
            await asyncio.sleep(0.05)
