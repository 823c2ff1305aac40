"""What an owner sees of the memory in numbers, as the reference prints it."""

from __future__ import annotations

from cloudos_memory.search.vector.store import EmbeddingStore
from search_node import OWNER


async def test_the_stats_of_embedding_are_those_of_the_caller_as_printed(search_node, embedding):
    node = await search_node()
    assert await node.stats() == {
        "queue_size": 0,
        "total": 0,
        "total_with_embedding": 0,
        "backend_name": "ollama",
        "backend_dim": 0,
        "enabled": True,
    }
    await node.write("one")
    await node.write("two")
    await node.embedded()
    embedding.released.clear()
    await node.write("three")

    async def waits():
        return (await node.stats())["queue_size"] == 1

    await node.until(waits)
    assert await node.stats() == {
        "queue_size": 1,
        "total": 3,
        "total_with_embedding": 2,
        "backend_name": "ollama",
        "backend_dim": 96,
        "enabled": True,
    }
    assert (await node.stats(node.host.viewer))["total"] == 0, "a viewer sees his own, and has none"
    assert (await node.host.anonymous.get("/api/mcp/memory/embed-stats")).status_code == 401


async def test_analytics_count_what_the_caller_has(search_node):
    node = await search_node()
    for number in range(12):
        await node.write(f"note {number}", source="mcp", client="claude-desktop", tags=("every", f"only-{number:02}"))
    await node.write("by hand", namespace="home")
    await node.embedded()
    seen = await (await node.host.viewer.get("/api/mcp/memory/analytics")).get_json()
    assert seen["totals"]["memories"] == 0 and seen["embedding_coverage"][-1]["coverage"] == 1.0
    seen = await (await node.host.admin.get("/api/mcp/memory/analytics")).get_json()
    assert seen["totals"]["memories"] == 13
    assert seen["totals"]["by_namespace"] == {"default": 12, "home": 1}
    assert seen["totals"]["by_source"] == {"mcp": 12, "user": 1}
    assert seen["top_tags"][0] == {"tag": "every", "count": 12} and len(seen["top_tags"]) == 10
    assert seen["top_clients"] == [{"client": "claude-desktop", "count": 12}]
    assert seen["embedding_coverage"] == [
        {"date": "2026-01-01", "total": 13, "with_embedding": 13, "coverage": 1.0},
    ]


async def test_coverage_is_kept_by_day(search_node, embedding):
    node = await search_node()
    first = await node.write("the first")
    await node.embedded()
    await node.host.run_job("memory", "coverage")
    embedding.released.clear()
    await node.host.clock.advance(1)
    node.host.clock._passed += 86400  # a day later, without waking what sleeps in between
    await node.write("the second")
    await node.host.run_job("memory", "coverage")
    await node.host.run_job("memory", "coverage")
    seen = await (await node.host.admin.get("/api/mcp/memory/analytics")).get_json()
    assert seen["embedding_coverage"] == [
        {"date": "2026-01-01", "total": 1, "with_embedding": 1, "coverage": 1.0},
        {"date": "2026-01-02", "total": 2, "with_embedding": 1, "coverage": 0.5},
    ]
    embedding.released.set()
    assert first.owner == OWNER


async def test_the_job_makes_up_for_events_that_were_lost(search_node):
    node = await search_node()
    note = await node.write("lost in between")
    await node.embedded()
    await EmbeddingStore(node.host.ctx("memory")).forget([note.id])
    await node.host.run_job("memory", "coverage")

    async def there_again():
        return (await node.stats())["total_with_embedding"] == 1

    await node.until(there_again)


async def test_the_tables_are_those_of_the_migrations(search_node):
    node = await search_node(backend="off")
    assert node.host.schema_differences("memory") == []
