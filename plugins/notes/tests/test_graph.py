"""The graph as the reference prints it."""

from cloudos_sdk.capabilities import NoteDraft

OWNER = "usr_operator"


async def make(node, title, content="x", **fields):
    return await node.store.create(OWNER, NoteDraft(title=title, content=content, **fields))


async def test_the_graph_needs_the_plan_that_includes_it(notes):
    node = await notes()
    assert await node.get("/api/notes/graph", status=402) == {
        "error": "upgrade_required",
        "feature": "orbit_graph",
        "current_plan": "community",
        "required_plan": "pro",
        "message": "The notes graph requires Orbit Pro.",
        "upgrade_url": "/api/billing/upgrade",
    }
    node.plan.plan = "pro"
    assert await node.get("/api/notes/graph") == {"nodes": [], "links": []}


async def test_the_graph_is_served_as_printed(notes):
    node = await notes(plan="pro")
    where = {"source": "mcp", "namespace": "work", "client": "claude-desktop", "importance": 0.7}
    incident = await make(node, "Incident 2026-04-19", "see [[Runbook]] and [[Nothing]]", **where)
    runbook = await make(node, "Runbook")
    await node.store.link(OWNER, incident.id, runbook.id)
    assert await node.get("/api/notes/graph") == {
        "nodes": [
            {
                "id": incident.id,
                "title": "Incident 2026-04-19",
                "source": "mcp",
                "namespace": "work",
                "client": "claude-desktop",
                "importance": 0.7,
                "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z",
                "last_referenced_at": None,
            },
            {
                "id": runbook.id,
                "title": "Runbook",
                "source": "user",
                "namespace": "default",
                "client": None,
                "importance": 0.5,
                "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z",
                "last_referenced_at": None,
            },
        ],
        "links": [
            {
                "source": incident.id,
                "target": runbook.id,
                "source_kind": "mcp",
                "target_kind": "user",
                "mixed_sources": True,
            }
        ],
    }


async def test_every_filter_holds_for_nodes_and_for_both_ends_of_links(notes):
    node = await notes(plan="pro")
    await make(node, "a", "[[b]] [[c]] #urgent", source="mcp", namespace="work", client="claude-desktop")
    await make(node, "b", "[[a]] #urgent #review", source="user", namespace="personal", importance=0.3)
    c = await make(node, "c", "[[a]] [[c]]", source="molly", namespace="molly", importance=0.9)
    await node.store.delete(OWNER, (await make(node, "trashed", "[[a]]")).id)
    await make(node, "elsewhere")

    async def graph(query):
        found = await node.get(f"/api/notes/graph{query}")
        names = {n["id"]: n["title"] for n in found["nodes"]}
        assert all(link["source"] in names and link["target"] in names for link in found["links"]), "a loose end"
        links = sorted(names[link["source"]] + names[link["target"]] for link in found["links"])
        return "".join(sorted(names.values())).replace("elsewhere", "e"), links

    assert await graph("") == ("abce", ["ab", "ac", "ba", "ca", "cc"])
    assert await graph("?source=user,mcp") == ("abe", ["ab", "ba"])
    assert await graph("?namespace=work,molly") == ("ac", ["ac", "ca", "cc"])
    assert await graph("?client=claude-desktop") == ("a", [])
    assert await graph("?tags=urgent") == ("ab", ["ab", "ba"])
    assert await graph("?tags=%23Urgent,review") == ("b", [])
    assert await graph("?min_importance=0.4") == ("ace", ["ac", "ca", "cc"])
    await node.ask("PATCH", f"/api/notes/{c.id}/meta", json={"archived": True})
    assert await graph("?include_archived=0") == ("abe", ["ab", "ba"])
    assert await graph("?include_archived=1") == ("abce", ["ab", "ac", "ba", "ca", "cc"])
    for query in ("source=cat", "min_importance=2", "min_importance=nan", "include_archived=7", "namespace=", "x=1"):
        assert (await node.get(f"/api/notes/graph?{query}", status=400))["error"] == "invalid_request", query


async def test_a_graph_of_more_than_one_window_is_whole(notes, monkeypatch):
    monkeypatch.setattr("cloudos_notes.views.graph._WINDOW", 3)
    node = await notes(plan="pro")
    for number in range(10):
        await make(node, f"n{number}", f"[[n{(number + 4) % 10}]]")
    found = await node.get("/api/notes/graph")
    assert [n["title"] for n in found["nodes"]] == [f"n{number}" for number in range(10)]
    assert len(found["links"]) == 10
