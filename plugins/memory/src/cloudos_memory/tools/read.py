"""The tools that read: get, search, recent, tags, namespaces, stats."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import Context, iso
from cloudos_sdk.capabilities import NoteFilter, Recall
from cloudos_sdk.capabilities.mcp import McpCall, McpResult, McpTool

from cloudos_memory.tools.schemas import (
    Filters,
    GetArguments,
    MemoryOut,
    NamespacesArguments,
    NamespacesOut,
    RecentArguments,
    RecentOut,
    SearchArguments,
    SearchOut,
    StatsArguments,
    StatsOut,
    TagsArguments,
    TagsOut,
    note_out,
)
from cloudos_memory.tools.scope import ALL, KeyScope


class ReadTools:
    """Reads memories, of the namespaces that the key reads."""

    def __init__(self, ctx: Context, reach: KeyScope) -> None:
        self._ctx = ctx
        self._reach = reach

    def tools(self) -> tuple[McpTool, ...]:
        """Return the tools."""

        def tool(name: str, title: str, description: str, arguments: Any, result: Any, run: Any) -> McpTool:
            return McpTool(
                name=name,
                title=title,
                description=description,
                arguments=arguments,
                result=result,
                run=run,
                scope="read_memory",
                read_only=True,
                idempotent=True,
            )

        return (
            tool("get", "Read a memory", "Return one memory, whole.", GetArguments, MemoryOut, self.get),
            tool(
                "search",
                "Search the memory",
                "Find memories by words and by meaning, best first; each result says why it matched.",
                SearchArguments,
                SearchOut,
                self.search,
            ),
            tool(
                "recent",
                "Recent memories",
                "Return the memories that were written or referenced last.",
                RecentArguments,
                RecentOut,
                self.recent,
            ),
            tool("tags", "Tags", "Return the tags in use, the commonest first.", TagsArguments, TagsOut, self.tags),
            tool(
                "namespaces",
                "Namespaces",
                "Return the namespaces that this key reads, and which one it writes.",
                NamespacesArguments,
                NamespacesOut,
                self.namespaces,
            ),
            tool("stats", "How much there is", "Count memories and links.", StatsArguments, StatsOut, self.stats),
        )

    def filter(self, wanted: Filters) -> NoteFilter:
        """Return the filter of some arguments."""
        return NoteFilter(
            owner=self._reach.key().user_id,
            namespaces=self._reach.namespaces(wanted.namespace),
            sources=tuple(wanted.source) if wanted.source else None,
            tags=tuple(tag.removeprefix("#") for tag in wanted.tags),
            since=wanted.since,
            until=wanted.until,
            min_importance=wanted.min_importance,
            archived=wanted.include_archived,
        )

    async def get(self, call: McpCall, arguments: GetArguments) -> McpResult:
        """Return one memory; it counts as referenced."""
        note = await self._reach.find(arguments.id)
        await self._reach.store.touch([note.id])
        return McpResult(structured={"memory": note_out(note)})

    async def search(self, call: McpCall, arguments: SearchArguments) -> McpResult:
        """Find memories; those found count as referenced."""
        found = await self.found(arguments.query, self.filter(arguments), arguments.limit)
        await call.progress(1, 1, f"{len(found)} found")
        await self._reach.store.touch([hit["id"] for hit in found])
        return McpResult(structured={"results": found})

    async def found(self, query: str, wanted: NoteFilter, limit: int) -> list[dict[str, Any]]:
        """Return search results: hybrid if available, else full text."""
        recall = self._ctx.find(Recall)
        if recall is not None:
            recalled = await recall.search(query, wanted, limit)
            return [_hit(r.note, r.snippet, r.score, list(r.matched), dict(r.scores)) for r in recalled]
        hits = await self._reach.store.search_text(query, wanted, limit)
        return [_hit(hit.note, hit.snippet, hit.score, ["text"], {"text": hit.score}) for hit in hits]

    async def recent(self, call: McpCall, arguments: RecentArguments) -> McpResult:
        """Return the newest memories."""
        notes = await self._reach.store.recent(self.filter(arguments), arguments.limit)
        return McpResult(structured={"memories": [note_out(note) for note in notes]})

    async def tags(self, call: McpCall, arguments: TagsArguments) -> McpResult:
        """Return the tags in use."""
        counted = await self.counted_tags(arguments.namespace, arguments.prefix.removeprefix("#"))
        listed = [{"name": name, "count": count} for name, count in counted[: arguments.limit]]
        return McpResult(structured={"tags": listed})

    async def counted_tags(self, namespace: str | None, prefix: str = "") -> list[tuple[str, int]]:
        """Return tags that begin so, with how many memories have them, the commonest first."""
        wanted = NoteFilter(owner=self._reach.key().user_id, namespaces=self._reach.namespaces(namespace))
        counted = (await self._reach.store.stats(wanted)).by_tag.items()
        begun = [(name, n) for name, n in counted if name.casefold().startswith(prefix.casefold())]
        return sorted(begun, key=lambda pair: (-pair[1], pair[0]))

    async def namespaces(self, call: McpCall, arguments: NamespacesArguments) -> McpResult:
        """Return the namespaces that the key reads."""
        key = self._reach.key()
        wanted = NoteFilter(owner=key.user_id, namespaces=self._reach.namespaces(ALL), archived=True)
        counted = (await self._reach.store.stats(wanted)).by_namespace
        listed = [{"name": n, "count": counted.get(n, 0), "writable": n == key.namespace} for n in key.readable]
        return McpResult(structured={"namespaces": listed})

    async def stats(self, call: McpCall, arguments: StatsArguments) -> McpResult:
        """Count."""
        wanted = NoteFilter(owner=self._reach.key().user_id, namespaces=self._reach.namespaces(arguments.namespace))
        stats = await self._reach.store.stats(wanted)
        return McpResult(
            structured={
                "memories": stats.notes,
                "links": stats.links,
                "by_namespace": dict(stats.by_namespace),
                "by_tag": dict(stats.by_tag),
                "by_client": dict(stats.by_client),
                "by_source": dict(stats.by_source),
            }
        )


def _hit(note: Any, snippet: str, score: float, matched: list[str], scores: dict[str, float]) -> dict[str, Any]:
    return {
        "id": note.id,
        "title": note.title,
        "snippet": snippet,
        "score": score,
        "matched": matched,
        "scores": scores,
        "tags": list(note.tags),
        "importance": note.importance,
        "source": note.source,
        "namespace": note.namespace,
        "updated_at": iso(note.updated_at),
    }
