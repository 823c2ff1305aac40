"""The twelve tools, over a real port with the official client, which checks results against their output schemas."""

from __future__ import annotations

import asyncio

import pytest
from conformance_parts import test_plugin
from mcp_node import data, failure

TOOLS = {
    "memory_create": "write_memory",
    "memory_get": "read_memory",
    "memory_update": "write_memory",
    "memory_delete": "delete_memory",
    "memory_search": "read_memory",
    "memory_recent": "read_memory",
    "memory_link": "manage_links",
    "memory_unlink": "manage_links",
    "memory_neighbors": "read_memory",
    "memory_tags": "read_memory",
    "memory_namespaces": "read_memory",
    "memory_stats": "read_memory",
}
ARGUMENTS = {
    "memory_create": {"content": "x"},
    "memory_search": {"query": "x"},
    "memory_link": {"source": "x", "target": "y"},
    "memory_unlink": {"source": "x", "target": "y"},
    **{tool: {"id": "x"} for tool in ("memory_get", "memory_update", "memory_delete", "memory_neighbors")},
}


async def create(client, content, **more):
    return data(await client.call_tool("memory_create", {"content": content, **more}))["memory"]


async def test_there_are_twelve_tools_each_with_schemas_and_annotations(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == set(TOOLS)
    for name, tool in tools.items():
        assert tool.title and tool.description and tool.input_schema["type"] == "object"
        assert tool.output_schema["type"] == "object"
        assert tool.annotations.read_only_hint is (TOOLS[name] == "read_memory")
        assert tool.annotations.destructive_hint is (name in ("memory_delete", "memory_unlink"))


async def test_what_is_written_is_tagged_with_where_it_came_from_and_found_again(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        made = await create(client, "Incident\n\nThe disk of node-01 was full. #urgent", tags=["#ops", "ns/home"])
        found = data(await client.call_tool("memory_search", {"query": "disk full"}))["results"]
        recent = data(await client.call_tool("memory_recent", {"tags": ["#urgent"]}))["memories"]
        tags = data(await client.call_tool("memory_tags", {"prefix": "ur"}))["tags"]
        stats = data(await client.call_tool("memory_stats", {}))
    assert made["title"] == "Incident"
    assert set(made["tags"]) == {"mcp", "memory", "claude-desktop", "ns/work", "ops", "urgent"}
    assert (made["source"], made["namespace"], made["client"]) == ("mcp", "work", "claude-desktop")
    assert found[0]["id"] == made["id"] and "text" in found[0]["matched"] and "disk" in found[0]["snippet"]
    assert [note["id"] for note in recent] == [made["id"]]
    assert tags == [{"name": "urgent", "count": 1}]
    assert stats["memories"] == 1 and stats["by_client"] == {"claude-desktop": 1}


async def test_the_actor_of_a_write_is_the_key(mcp_node):
    node = await mcp_node()
    key = await node.make_key()
    async with node.client(key["raw"]) as client:
        made = await create(client, "Who wrote this?")
    events = {e.type: e for e in await node.host.event_log() if e.resource == made["id"]}
    assert events["note.created"].actor.kind == "mcp_key" and events["note.created"].actor.id == key["id"]
    assert events["memory.created"].data["namespace"] == "work"


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_key_without_the_scope_is_told_which_it_lacks(mcp_node, tool):
    node = await mcp_node()
    scopes = [s for s in ("read_memory", "write_memory", "delete_memory", "manage_links") if s != TOOLS[tool]]
    async with node.client(await node.bearer(scopes=scopes)) as client:
        assert tool in {t.name for t in (await client.list_tools()).tools}, "it is listed all the same"
        said = failure(await client.call_tool(tool, ARGUMENTS.get(tool, {})))
    assert f"lacks the scope {TOOLS[tool]}" in said and tool in said


async def test_a_memory_is_read_changed_and_forgotten(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        made = await create(client, "Draft #old")
        change = {"id": made["id"], "content": "Final", "title": "Result", "tags": ["done"], "importance": 0.9}
        changed = data(await client.call_tool("memory_update", {**change, "version": 1}))["memory"]
        assert (changed["title"], changed["content"], changed["importance"]) == ("Result", "Final", 0.9)
        assert set(changed["tags"]) == {"mcp", "memory", "claude-desktop", "ns/work", "done"}
        stale = failure(await client.call_tool("memory_update", {**change, "version": 1}))
        assert stale
        assert data(await client.call_tool("memory_get", {"id": "result"}))["memory"]["id"] == made["id"]
        gone = data(await client.call_tool("memory_delete", {"id": made["id"]}))
        assert gone == {"id": made["id"], "permanent": False}
        assert "no note" in failure(await client.call_tool("memory_get", {"id": made["id"]}))
        assert "Say what to change" in failure(await client.call_tool("memory_update", {"id": made["id"]}))


async def test_a_miss_names_what_is_near(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        made = await create(client, "Deployment of the blog")
        said = failure(await client.call_tool("memory_get", {"id": "Deploymnt of the blog"}))
    assert said == (
        f"no note `Deploymnt of the blog` in namespace `work`; did you mean `{made['id']}` (Deployment of the blog)?"
    )


async def test_a_title_of_two_memories_wants_the_id(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        made = [await create(client, text, title="Standup") for text in ("Monday", "Something else on Tuesday")]
        said = failure(await client.call_tool("memory_get", {"id": "Standup"}))
    assert all(note["id"] in said for note in made)


async def test_a_near_duplicate_says_which_memory_it_resembles(mcp_node):
    node = await mcp_node()
    text = "The backup of the photo library runs every night at two and goes to the offsite bucket"
    async with node.client(await node.bearer()) as client:
        first = await create(client, text)
        again = data(await client.call_tool("memory_create", {"content": f"{text}."}))
        other = data(await client.call_tool("memory_create", {"content": "The backup of the mail runs weekly"}))
    assert again["resembles"]["id"] == first["id"] and again["resembles"]["similarity"] > 0.9
    assert again["memory"]["id"] != first["id"]
    assert other["resembles"] is None


async def test_every_write_is_done_once_under_its_name(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:

        async def twice(tool, arguments):
            both = [data(await client.call_tool(tool, {**arguments, "idempotency_key": tool})) for _ in range(2)]
            assert both[0] == both[1]
            return both[0]

        one = (await twice("memory_create", {"content": "One"}))["memory"]
        two = await create(client, "Two")
        assert (await twice("memory_update", {"id": one["id"], "content": "Uno"}))["memory"]["version"] == 2
        assert (await twice("memory_link", {"source": one["id"], "target": two["id"]}))["changed"] is True
        assert (await twice("memory_unlink", {"source": one["id"], "target": two["id"]}))["changed"] is True
        await twice("memory_delete", {"id": two["id"]})
        other = {"content": "Another", "idempotency_key": "memory_create"}
        assert "was used for another call" in failure(await client.call_tool("memory_create", other))
        at_once = [client.call_tool("memory_create", {"content": "C", "idempotency_key": "c"}) for _ in range(8)]
        assert len({data(made)["memory"]["id"] for made in await asyncio.gather(*at_once)}) == 1
        assert data(await client.call_tool("memory_stats", {}))["memories"] == 2


async def test_a_name_holds_over_a_restart(mcp_node):
    node = await mcp_node()
    bearer, arguments = await node.bearer(), {"content": "Once", "idempotency_key": "once"}
    async with node.client(bearer) as client:
        first = data(await client.call_tool("memory_create", arguments))
    again = await node.restarted()
    async with again.client(bearer) as client:
        assert data(await client.call_tool("memory_create", arguments)) == first
        assert (
            data(await client.call_tool("memory_search", {"query": "once"}))["results"][0]["id"]
            == first["memory"]["id"]
        )


async def test_links_are_made_walked_and_removed(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        a, b, c = [await create(client, text, title=t) for t, text in (("A", "See [[B]]"), ("B", "b"), ("C", "c"))]
        assert data(await client.call_tool("memory_link", {"source": "B", "target": "C"}))["changed"] is True
        assert data(await client.call_tool("memory_link", {"source": "B", "target": "C"}))["changed"] is False
        near = data(await client.call_tool("memory_neighbors", {"id": a["id"], "depth": 2}))["neighbors"]
        assert [(n["memory"]["id"], n["distance"]) for n in near] == [(b["id"], 1), (c["id"], 2)]
        assert data(await client.call_tool("memory_unlink", {"source": "B", "target": "C"}))["changed"] is True
        near = data(await client.call_tool("memory_neighbors", {"id": a["id"], "depth": 4}))["neighbors"]
        assert [n["memory"]["id"] for n in near] == [b["id"]]
        assert "depth" in failure(await client.call_tool("memory_neighbors", {"id": a["id"], "depth": 5}))
        assert "itself" in failure(await client.call_tool("memory_link", {"source": "A", "target": "A"}))


async def test_namespaces_are_walls(mcp_node):
    node = await mcp_node()
    work, home = await node.bearer(namespace="work"), await node.bearer(namespace="home")
    both = await node.bearer(namespace="work", namespaces_read=["home"])
    async with node.client(work) as client:
        made = await create(client, "The salary is a secret")
        own = await create(client, "Own")
    async with node.client(home) as client:
        other = await create(client, "Milk")
        assert data(await client.call_tool("memory_search", {"query": "secret"}))["results"] == []
        assert "no note" in failure(await client.call_tool("memory_get", {"id": made["id"]}))
        assert "does not read" in failure(await client.call_tool("memory_recent", {"namespace": "work"}))
        assert data(await client.call_tool("memory_stats", {"namespace": "*"}))["memories"] == 1
    async with node.client(both) as client:
        assert data(await client.call_tool("memory_get", {"id": other["id"]}))["memory"]["content"] == "Milk"
        assert data(await client.call_tool("memory_recent", {"namespace": "home"}))["memories"][0]["id"] == other["id"]
        for tool, arguments in (
            ("memory_update", {"id": other["id"], "content": "Mine"}),
            ("memory_delete", {"id": other["id"]}),
            ("memory_link", {"source": own["id"], "target": other["id"]}),
        ):
            said = failure(await client.call_tool(tool, arguments))
            assert "is in the namespace `home`; this key writes only `work`" in said
        listed = data(await client.call_tool("memory_namespaces", {}))["namespaces"]
    assert [(n["name"], n["writable"]) for n in listed] == [("work", True), ("home", False), ("molly", False)]


async def test_mollys_memories_are_read_by_every_key(mcp_node):
    from cloudos_sdk.capabilities import NoteDraft, NoteStore

    node = await mcp_node()
    store = node.host.ctx("memory").use(NoteStore)
    draft = NoteDraft(content="Molly knows", source="molly", namespace="molly", client="molly")
    note = await store.create("usr_admin", draft)
    await store.create("usr_operator", draft)
    async with node.client(await node.bearer()) as client:
        found = data(await client.call_tool("memory_search", {"query": "knows", "namespace": "molly"}))["results"]
    assert [hit["id"] for hit in found] == [note.id], "those of the key's owner alone"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("memory_create", {}, "content"),
        ("memory_create", {"content": ""}, "content"),
        ("memory_create", {"content": "x" * 500_001}, "content"),
        ("memory_create", {"content": "nul\0"}, "NUL"),
        ("memory_create", {"content": "x", "colour": "red"}, "colour"),
        ("memory_create", {"content": "x", "importance": 2}, "importance"),
        ("memory_create", {"content": "x", "tags": ["two words"]}, "tags"),
        ("memory_search", {"query": "x", "limit": 101}, "limit"),
        ("memory_search", {"query": "x", "since": "yesterday"}, "since"),
        ("memory_search", {"query": "x", "since": "2026-01-01T00:00:00"}, "since"),
        ("memory_search", {"query": "x", "namespace": "No!"}, "namespace"),
        ("memory_search", {"query": "x", "source": ["robot"]}, "source"),
        ("memory_get", {"id": 7}, "id"),
    ],
)
async def test_arguments_that_do_not_fit_are_a_tools_error_that_names_them(mcp_node, tool, arguments, said):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        assert said in failure(await client.call_tool(tool, arguments))


@pytest.mark.parametrize("text", ["Grüße 😀 #über", "\u202eevil\u202c", "e\u0301" * 50, "漢字の記録 #日本", "\x01\x7f"])
async def test_any_unicode_comes_back_as_it_was(mcp_node, text):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        made = await create(client, text)
        assert data(await client.call_tool("memory_get", {"id": made["id"]}))["memory"]["content"] == text
        data(await client.call_tool("memory_search", {"query": text}))


async def test_without_notes_the_tools_say_what_is_missing(cloudos, served):
    from mcp_node import McpNode

    host = await cloudos("memory", settings={"memory": {"keys": {"bcrypt_cost": 4}, "embedding": {"backend": "off"}}})
    node = McpNode(host, await served(host))
    async with node.client(await node.bearer()) as client:
        assert "NoteStore" in failure(await client.call_tool("memory_recent", {}))


async def test_the_person_sees_what_a_client_wrote_and_revoking_ends_it_all(mcp_node):
    node = await mcp_node(test_plugin())
    key = await node.make_key()
    async with node.client(key["raw"]) as client:
        made = await create(client, "Shared with the person")
    from cloudos_sdk.capabilities import NoteStore

    note = await node.host.ctx("memory").use(NoteStore).get("usr_admin", made["id"])
    assert note is not None and note.content == "Shared with the person"
    await node.host.admin.delete(f"/api/mcp/keys/{key['id']}")
    assert (await node.post(key["raw"], {"jsonrpc": "2.0", "id": 1, "method": "ping"})).status_code == 401
