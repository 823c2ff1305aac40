"""Molly's memory, with a stand-in for the plugin that recalls, and without one."""

import pytest
from cloudos_sdk.capabilities import NoteDraft, Recall, Recalled
from cloudos_sdk.testing.fakes import providing

BASE = "/api/molly/memory"
EVERY = [
    ("POST", "/remember"),
    ("POST", "/recall"),
    ("GET", "/recent"),
    ("POST", "/clear"),
    ("DELETE", "/mcp/note_x"),
]


class WordsAlone:
    """Recalls by the words of a store: what is to be when nothing embeds."""

    store = None

    async def search(self, query, wanted, limit):
        hits = await self.store.search_text(query, wanted, limit)
        return [Recalled(h.note, h.score, ("text",), {"text": h.score}, h.snippet) for h in hits]


@pytest.fixture
def molly(notes):
    async def start():
        recall = WordsAlone()
        node = await notes(providing(Recall, recall))
        recall.store = node.store
        return node

    return start


@pytest.mark.parametrize(("method", "path"), EVERY)
async def test_without_the_memory_plugin_it_is_unavailable_whatever_the_body(notes, method, path):
    node = await notes()
    answer = await node.ask(method, BASE + path, 503, **({"json": {}} if method == "POST" else {}))
    assert answer["error"] == "memory_unavailable" and "memory" in answer["message"]


async def test_remember_takes_the_first_line_as_title_and_tags_what_it_writes(molly):
    node = await molly()
    body = {
        "content": "Deployed v0.6.35 to node-01.\nAll green. #release",
        "tags": ["deploy"],
        "importance": 0.7,
    }
    memory = await node.ask("POST", f"{BASE}/remember", 201, json=body)
    assert memory["title"] == "Deployed v0.6.35 to node-01." and memory["content"] == body["content"]
    assert memory["tags"] == ["deploy", "memory", "molly", "ns/molly", "release"]
    assert (memory["source"], memory["namespace"], memory["client"]) == ("molly", "molly", "molly")
    assert [type for type, _ in await node.events()] == ["note.created", "memory.created"]
    assert await node.titles("?source=molly&tags=ns/molly") == [memory["title"]]
    titled = await node.ask("POST", f"{BASE}/remember", 201, json={"content": "x", "title": "Deploy 2026-04-21"})
    assert titled["title"] == "Deploy 2026-04-21"
    changed = await node.change(memory, tags=["new"])
    assert changed["tags"] == ["memory", "molly", "new", "ns/molly", "release"], "the system's tags are not given"


async def test_recall_finds_molly_s_memories_alone_and_notes_that_they_were_asked_for(molly):
    node = await molly()
    for number in range(7):
        await node.ask("POST", f"{BASE}/remember", 201, json={"content": f"The boiler was serviced, part {number}"})
    await node.write("The boiler is mine")
    await node.store.create("usr_admin", NoteDraft(content="boiler", source="molly", namespace="molly"))
    found = await node.ask("POST", f"{BASE}/recall", json={"query": "what about the boiler?"})
    assert len(found) == 5 and all(memory["namespace"] == "molly" for memory in found)
    assert found[0]["matched"] == ["text"] and "**boiler**" in found[0]["snippet"] and found[0]["score"] > 0
    assert len(await node.ask("POST", f"{BASE}/recall", json={"query": "boiler", "limit": 7})) == 7
    assert await node.ask("POST", f"{BASE}/recall", client=node.running.viewer, json={"query": "boiler"}) == []
    for body in ({}, {"query": ""}, {"query": "x", "limit": 0}, {"query": "x", "more": 1}):
        assert (await node.ask("POST", f"{BASE}/recall", 400, json=body))["error"] == "invalid_request"


async def test_recent_is_by_last_reference_and_limited(molly):
    node = await molly()
    made = []
    for number in range(3):
        made.append(await node.ask("POST", f"{BASE}/remember", 201, json={"content": f"m{number}"}))
        node.running.clock._passed += 60
    await node.store.touch([made[0]["id"]])
    await node.store._touches.flush()
    assert [m["title"] for m in await node.get(f"{BASE}/recent?limit=2")] == ["m0", "m2"]
    assert (await node.get(f"{BASE}/recent?limit=0", status=400))["error"] == "invalid_request"


async def test_clear_puts_every_memory_into_the_trash_and_nothing_else(molly):
    node = await molly()
    for number in range(3):
        await node.ask("POST", f"{BASE}/remember", 201, json={"content": f"m{number}"})
    await node.write("mine", title="Mine")
    assert await node.ask("POST", f"{BASE}/clear") == {"deleted": 3}
    assert await node.get(f"{BASE}/recent") == [] and await node.titles() == ["Mine"]
    assert len(await node.titles("?trash=true")) == 3
    assert await node.ask("POST", f"{BASE}/clear") == {"deleted": 0}


async def test_one_memory_is_deleted_softly_or_for_good(molly):
    node = await molly()
    memory = await node.ask("POST", f"{BASE}/remember", 201, json={"content": "m"})
    note = await node.write("mine")
    path = f"{BASE}/mcp/{memory['id']}"
    await node.ask("DELETE", path, 204)
    assert await node.titles("?trash=true") == ["m"]
    await node.ask("DELETE", f"{path}?hard=true", 204)
    assert await node.titles("?trash=true") == []
    assert (await node.ask("DELETE", path, 404))["error"] == "note_not_found"
    assert (await node.ask("DELETE", f"{BASE}/mcp/{note['id']}", 404))["error"] == "note_not_found"
