"""Links by title and by hand, over renames, the trash and namespaces."""

from cloudos_sdk.capabilities import NoteChange, NoteDraft, NoteFilter


async def test_a_link_to_a_title_is_broken_until_the_note_is_written(notes):
    node = await notes()
    source = await node.write("see [[Other  note|that]] and [[other NOTE#part]] and `[[not this]]`", title="Source")
    assert await node.links(source) == ([], [], ["other NOTE"])
    target = await node.write("x", title="Other Note")
    assert await node.links(source) == (["Other Note"], [], [])
    assert await node.links(target) == ([], ["Source"], [])
    await node.ask("DELETE", f"/api/notes/{target['id']}", 204)
    assert (await node.links(source))[2] == ["other NOTE"]
    await node.ask("POST", f"/api/notes/{target['id']}/restore")
    assert await node.links(source) == (["Other Note"], [], [])
    await node.ask("DELETE", f"/api/notes/{target['id']}?permanent=true", 204)
    assert (await node.links(source))[2] == ["other NOTE"]


async def test_a_rename_is_followed_by_the_texts_that_name_it_as_versions_of_their_own(notes):
    node = await notes()
    text = (
        "[[Old Title]], [[old title|alias]], ![[Old Title#Part one]] and\n```\n[[Old Title]]\n```\n`[[Old Title]]` #t"
    )
    source = await node.write(text, title="Source")
    other = await node.write("nothing of it", title="Other")
    target = await node.write("I am [[Old Title]]", title="Old Title")
    renamed = await node.change(target, title="New Title")
    assert renamed["content"] == "I am [[New Title]]" and renamed["version"] == 2
    followed = await node.read(source)
    assert followed["content"] == (
        "[[New Title]], [[New Title|alias]], ![[New Title#Part one]] and\n```\n[[Old Title]]\n```\n`[[Old Title]]` #t"
    )
    assert followed["version"] == 2 and followed["tags"] == ["t"]
    assert [v["version"] for v in await node.get(f"/api/notes/{source['id']}/versions")] == [1]
    assert await node.links(source) == (["New Title"], [], [])
    assert await node.links(target) == (["New Title"], ["New Title", "Source"], [])
    assert (await node.read(other))["version"] == 1
    told = [event for event in await node.events() if event[0] == "note.updated"]
    assert sorted(id for _, id in told) == sorted([target["id"], source["id"]])


async def test_a_new_title_that_no_text_can_name_is_linked_by_hand_instead(notes):
    node = await notes()
    source = await node.write("about [[C sharp]]", title="Source")
    target = await node.write("x", title="C sharp")
    await node.change(target, title="C# [draft]")
    assert (await node.read(source))["content"] == "about [[C sharp]]"
    assert await node.links(source) == (["C# [draft]"], [], ["C sharp"])


async def test_a_change_of_case_alone_breaks_no_link_and_rewrites_none(notes):
    node = await notes()
    source = await node.write("[[readme]]", title="Source")
    target = await node.write("x", title="Readme")
    await node.change(target, title="README")
    assert (await node.read(source))["version"] == 1
    assert await node.links(source) == (["README"], [], [])


async def test_a_title_is_looked_for_in_the_own_namespace_first_and_the_oldest_wins(notes):
    node = await notes()
    store = node.store

    async def make(title, namespace, content="x"):
        return await store.create("usr_operator", NoteDraft(title=title, content=content, namespace=namespace))

    source = await make("Source", "work", "[[Plan]]")
    elsewhere = await make("Plan", "home")
    assert (await store.linked("usr_operator", [source.id]))[0] == [(source.id, elsewhere.id)]
    own = await make("Plan", "work")
    assert (await store.linked("usr_operator", [source.id]))[0] == [(source.id, own.id)]
    await make("Plan", "work")
    assert (await store.linked("usr_operator", [source.id]))[0] == [(source.id, own.id)]
    await store.update("usr_operator", elsewhere.id, NoteChange(title="Renamed elsewhere"))
    kept = await store.get("usr_operator", source.id)
    assert kept.content == "[[Plan]]", "only the links that lead to a note follow it"
    await store.delete("usr_operator", own.id)
    assert len((await store.linked("usr_operator", [source.id]))[0]) == 1, "the next one of the title takes its place"


async def test_a_link_never_leads_to_the_note_of_another_person(notes):
    node = await notes()
    mine = await node.write("[[Secret]]", title="Mine")
    await node.ask("POST", "/api/notes", 201, client=node.running.admin, json={"title": "Secret", "content": "x"})
    assert await node.links(mine) == ([], [], ["Secret"])


async def test_links_by_hand_go_with_their_notes_and_are_told(notes):
    node = await notes()
    one, two = await node.write("x", title="One"), await node.write("y", title="Two")
    assert await node.store.link("usr_operator", one["id"], two["id"])
    assert await node.links(one) == (["Two"], [], [])
    assert (await node.events())[-1] == ("note.updated", one["id"])
    await node.change(one, content="other")
    assert await node.links(one) == (["Two"], [], [])
    await node.ask("DELETE", f"/api/notes/{two['id']}", 204)
    assert await node.links(one) == ([], [], [])
    await node.ask("POST", f"/api/notes/{two['id']}/restore")
    assert await node.links(one) == (["Two"], [], [])
    await node.ask("DELETE", f"/api/notes/{two['id']}?permanent=true", 204)
    assert await node.links(one) == ([], [], [])
    assert not await node.store.unlink("usr_operator", one["id"], two["id"])


async def test_neighbours_are_reached_over_circles_and_bounded(notes):
    node = await notes()
    made = [await node.write(f"[[n{(at + 1) % 5}]]", title=f"n{at}") for at in range(5)]
    wanted = NoteFilter(owner="usr_operator")
    near = await node.store.neighbours(made[0]["id"], wanted, 4, 10)
    assert sorted((n.note.title, n.distance) for n in near) == [("n1", 1), ("n2", 2), ("n3", 2), ("n4", 1)]
    assert len(await node.store.neighbours(made[0]["id"], wanted, 4, 3)) == 3
    assert await node.store.neighbours("note_none", wanted, 2, 10) == []
