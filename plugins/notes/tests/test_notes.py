"""Notes by the API: writing, reading, changing, lists, trash, versions."""

import pytest


async def test_a_note_is_written_read_changed_and_deleted(notes):
    node = await notes()
    note = await node.write("# Shopping\n\n#errands for [[Party]]", tags=["#Home life"], folder="/private//lists/")
    assert note["id"].startswith("note_")
    assert (note["title"], note["tags"], note["folder"]) == ("Shopping", ["Home-life", "errands"], "private/lists")
    assert (note["source"], note["namespace"], note["client"], note["version"]) == ("user", "default", None, 1)
    assert await node.read(note) == note
    changed = await node.change(note, content="milk", importance=0.9, version=1)
    assert (changed["title"], changed["content"], changed["tags"]) == ("Shopping", "milk", ["Home-life"])
    assert (changed["importance"], changed["version"]) == (0.9, 2)
    await node.ask("DELETE", f"/api/notes/{note['id']}", 204)
    missing = await node.get(f"/api/notes/{note['id']}", status=404)
    assert missing["error"] == "note_not_found"
    assert await node.events() == [(f"note.{what}", note["id"]) for what in ("created", "updated", "deleted")]


async def test_events_tell_nothing_of_the_text(notes):
    node = await notes()
    note = await node.write("The secret word is mellon", title="Doors of Durin")
    await node.change(note, content="mellon again")
    for event in await node.running.event_log():
        assert event.data == {**event.data, "owner": "usr_operator", "namespace": "default", "source": "user"}
        assert "mellon" not in repr(event) and "Durin" not in repr(event)
        assert event.audience == "admin" and event.details


async def test_a_change_of_an_old_version_is_refused(notes):
    node = await notes()
    note = await node.write("one")
    await node.change(note, content="two", version=1)
    refused = await node.change(note, 409, content="three", version=1)
    assert (refused["error"], refused["current_version"]) == ("stale_version", 2)
    assert (await node.read(note))["content"] == "two"


async def test_a_change_that_changes_nothing_is_no_version(notes):
    node = await notes()
    note = await node.write("same", tags=["a"])
    assert await node.change(note, content="same", tags=["a"], title=note["title"], folder="") == note
    assert [type for type, _ in await node.events()] == ["note.created"]


async def test_a_persons_notes_are_there_for_that_person_alone(notes):
    node = await notes()
    note = await node.write("mine")
    path = f"/api/notes/{note['id']}"
    admin = node.running.admin
    assert await node.get("/api/notes", client=admin) == []
    for method, where, body in (
        ("GET", path, None),
        ("PUT", path, {"content": "x"}),
        ("DELETE", path, None),
        ("DELETE", f"{path}?permanent=true", None),
        ("POST", f"{path}/restore", None),
        ("PATCH", f"{path}/meta", {"archived": True}),
        ("GET", f"{path}/links", None),
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/versions/1", None),
        ("POST", f"{path}/versions/1/restore", None),
    ):
        answer = await node.ask(method, where, 404, client=admin, **({"json": body} if body else {}))
        assert answer["error"] == "note_not_found", where
    assert await node.read(note) == note


async def test_viewers_read_and_operators_write(notes):
    node = await notes()
    viewer = node.running.viewer
    assert await node.get("/api/notes", client=viewer) == []
    await node.ask("POST", "/api/notes", 403, client=viewer, json={"content": "x"})
    await node.ask("GET", "/api/notes", 401, client=node.running.anonymous)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ""),
        ({"content": " "}, ""),
        ({"title": " "}, "title"),
        ({"title": "x" * 301}, "title"),
        ({"content": "x", "importance": 1.1}, "importance"),
        ({"content": "x", "importance": "much"}, "importance"),
        ({"content": "x", "tags": ["t" * 101]}, "tags"),
        ({"content": "x", "tags": "a"}, "tags"),
        ({"content": "x", "folder": "a/../b"}, "folder"),
        ({"content": "x", "source": "mcp"}, "source"),
        ({"content": "x" * 2049}, "content"),
        ({"content": "ü" * 1025}, "content"),
        ({"content": "a\0b"}, "content"),
        ({"content": "x", "namespace": ""}, "namespace"),
    ],
)
async def test_what_is_no_note_is_refused_by_name(notes, body, path):
    node = await notes(max_note_kb=2)
    refused = await node.ask("POST", "/api/notes", 400, json=body)
    assert refused["error"] == "invalid_request"
    assert refused["fields"][0]["path"].split(".")[0] == path, refused


async def test_half_a_character_is_refused(notes):
    node = await notes()
    headers = {"Content-Type": "application/json"}
    refused = await node.ask("POST", "/api/notes", 400, data=b'{"content": "\\ud800"}', headers=headers)
    assert refused["message"]


async def test_lists_are_filtered_and_go_on(notes):
    node = await notes()
    for number, (folder, tags) in enumerate([("a", ["x"]), ("a/b", ["x", "y"]), ("ab", ["y"]), ("", [])]):
        await node.write("text", title=f"n{number}", folder=folder, tags=tags, importance=number / 4)
    assert await node.titles() == ["n3", "n2", "n1", "n0"]
    assert await node.titles("?folder=a") == ["n1", "n0"]
    assert await node.titles("?tags=X,y") == ["n1"]
    assert await node.titles("?min_importance=0.5") == ["n3", "n2"]
    assert await node.titles("?source=mcp,molly") == []
    assert await node.titles("?namespace=default,other&limit=1") == ["n3"]
    assert await node.titles("?since=2026-01-01&until=2026-01-01T00:00:00Z") == []
    ids = [note["id"] for note in await node.get("/api/notes")]
    assert await node.titles(f"?limit=2&before={ids[1]}") == ["n1", "n0"]
    assert await node.titles(f"?limit=2&after={ids[3]}") == ["n2", "n1"]
    for query in ("source=user,cat", "source=", "tags=,", "limit=501", "before=note_x", "q=a&before=note_x", "x=1"):
        assert (await node.get(f"/api/notes?{query}", status=400))["error"] == "invalid_request", query
    assert await node.get("/api/notes/folders") == [{"name": n, "notes": 1} for n in ("", "a", "a/b", "ab")]
    assert await node.get("/api/notes/tags") == [{"name": "x", "notes": 2}, {"name": "y", "notes": 2}]


async def test_a_list_shows_the_beginning_of_a_note_and_a_search_what_it_found(notes):
    node = await notes()
    await node.write("word " * 1000 + "needle", title="Long", folder="hay")
    await node.write("needle", title="Elsewhere", folder="other")
    listed = await node.get("/api/notes?folder=hay")
    assert listed[0]["excerpt"].startswith("word word") and len(listed[0]["excerpt"]) < 300
    assert "content" not in listed[0]
    found = await node.get("/api/notes?q=needle&folder=hay")
    assert [note["title"] for note in found] == ["Long"]
    assert "**needle**" in found[0]["excerpt"]


async def test_the_trash_holds_a_note_until_it_is_restored_or_its_time_is_over(notes):
    node = await notes(trash_days=7)
    kept, gone = await node.write("keep"), await node.write("lose")
    for note in (kept, gone):
        await node.ask("DELETE", f"/api/notes/{note['id']}", 204)
        await node.ask("DELETE", f"/api/notes/{note['id']}", 204)
    assert await node.titles() == [] and await node.titles("?q=keep") == []
    assert await node.titles("?trash=true") == ["lose", "keep"] and await node.titles("?trash=true&q=keep") == ["keep"]
    restored = await node.ask("POST", f"/api/notes/{kept['id']}/restore")
    assert restored == kept and await node.titles() == ["keep"]
    await node.ask("POST", f"/api/notes/{kept['id']}/restore", 404)
    node.running.clock._passed += 8 * 86400
    await node.running.run_job("notes", "empty-trash")
    assert await node.titles("?trash=true") == [] and await node.titles() == ["keep"]
    assert (await node.events())[-1] == ("note.deleted", gone["id"])


async def test_a_note_is_removed_for_good_with_all_that_hangs_on_it(notes):
    node = await notes()
    note = await node.write("#tag [[other]]")
    await node.change(note, content="changed #tag [[other]]")
    await node.ask("DELETE", f"/api/notes/{note['id']}?permanent=true", 204)
    assert await node.titles("?trash=true") == [] and await node.get("/api/notes/tags") == []
    from cloudos_notes.storage.tables import LINK, TAG, VERSION
    from sqlalchemy import func, select

    for table in (LINK, TAG, VERSION):
        statement = select(func.count()).select_from(table)
        assert await node.running.ctx("notes").db.read(lambda s, q=statement: s.execute(q).scalar()) == 0


async def test_versions_are_kept_brought_back_and_forgotten_when_the_plans_time_is_over(notes):
    node = await notes()
    note = await node.write("one #x", title="First", tags=["given"])
    await node.change(note, content="two", title="Second", folder="f")
    await node.change(note, importance=0.1)
    path = f"/api/notes/{note['id']}/versions"
    listed = await node.get(path)
    assert [(v["version"], v["title"]) for v in listed] == [(1, "First")] and "content" not in listed[0]
    assert (await node.get(f"{path}/1"))["content"] == "one #x"
    assert (await node.get(f"{path}/2", status=404))["error"] == "version_not_found"
    back = await node.ask("POST", f"{path}/1/restore")
    assert (back["title"], back["content"], back["folder"], back["tags"]) == ("First", "one #x", "", ["given", "x"])
    assert [v["version"] for v in await node.get(path)] == [3, 1]
    assert (await node.change(note, content="no tag"))["tags"] == ["given"], "an inline tag is not given by a restore"
    node.running.clock._passed += 23 * 3600
    await node.running.run_job("notes", "forget-versions")
    assert len(await node.get(path)) == 3
    node.plan.plan = "pro"
    node.running.clock._passed += 2 * 3600
    await node.running.run_job("notes", "forget-versions")
    assert len(await node.get(path)) == 3, "pro keeps them for ninety days"
    node.plan.plan = "community"
    await node.running.run_job("notes", "forget-versions")
    assert await node.get(path) == []


async def test_meta_takes_the_bodies_of_the_reference(notes):
    node = await notes()
    note = await node.write("x", tags=["kept"])
    path = f"/api/notes/{note['id']}/meta"
    assert (await node.ask("PATCH", path, json={"importance": 0.75}))["importance"] == 0.75
    archived = await node.ask("PATCH", path, json={"archived": True})
    assert (archived["archived"], archived["importance"], archived["tags"]) == (True, 0.0, ["archived", "kept"])
    assert await node.titles() == [] and await node.titles("?archived=true") == ["x"]
    back = await node.ask("PATCH", path, json={"archived": False})
    assert (back["archived"], back["importance"], back["tags"]) == (False, 0.0, ["kept"])
    for body in ({}, {"importance": 2}, {"importance": None}, {"archived": "perhaps"}, {"title": "x"}):
        assert (await node.ask("PATCH", path, 400, json=body))["error"] == "invalid_request", body
    await node.ask("PATCH", "/api/notes/note_none/meta", 404, json={"archived": True})


async def test_notes_and_what_was_referenced_outlive_a_restart(notes):
    node = await notes()
    note = await node.write("remember me")
    await node.store.touch([note["id"]])
    await node.running.restart()
    node.client = node.running.operator
    assert (await node.read(note))["last_referenced_at"] == note["created_at"], (
        "what was gathered is written at the end"
    )
